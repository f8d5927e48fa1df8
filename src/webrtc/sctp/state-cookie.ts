import { createHmac, timingSafeEqual } from 'node:crypto';
import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import type { InitParameters } from './init.ts';

/**
 * The state cookie (RFC 9260, section 5.1.3): all that is needed to become ESTABLISHED, signed and left with the peer.
 * Nothing is stored for an INIT, so a repeated or restarting INIT cannot disturb a living association.
 *
 * DTLS has already authenticated the peer and there is one association per DTLS connection, so flooding is no concern
 * here; the signature only has to tell our cookies from anything else, and 16 bytes of it do.
 *
 *   local tag | local TSN | peer tag | peer TSN | peer a_rwnd | out streams | in streams | tie tags (local, peer)
 *   | made at (float64, ms) | extensions | HMAC-SHA256, first 16 bytes
 */
export interface StateCookie {
  readonly localTag: number;
  readonly localTsn: number;
  readonly peer: InitParameters;
  /** Tags of the association that was alive when the cookie was made; both 0 when there was none. */
  readonly tieLocalTag: number;
  readonly tiePeerTag: number;
  /** In the clock of `now`, ms. */
  readonly madeAt: number;
}

const BODY_BYTES = 41;
const MAC_BYTES = 16;

export function sealCookie(cookie: StateCookie, key: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(BODY_BYTES + MAC_BYTES);
  writeUint32(bytes, 0, cookie.localTag);
  writeUint32(bytes, 4, cookie.localTsn);
  writeUint32(bytes, 8, cookie.peer.tag);
  writeUint32(bytes, 12, cookie.peer.initialTsn);
  writeUint32(bytes, 16, cookie.peer.receiveWindow);
  writeUint16(bytes, 20, cookie.peer.outboundStreams);
  writeUint16(bytes, 22, cookie.peer.inboundStreams);
  writeUint32(bytes, 24, cookie.tieLocalTag);
  writeUint32(bytes, 28, cookie.tiePeerTag);
  new DataView(bytes.buffer).setFloat64(32, cookie.madeAt);
  bytes[40] = (cookie.peer.forwardTsn ? 1 : 0) | (cookie.peer.reconfig ? 2 : 0);
  bytes.set(mac(bytes.subarray(0, BODY_BYTES), key), BODY_BYTES);
  return bytes;
}

/** The cookie, or null when it was not sealed with `key`. */
export function openCookie(bytes: Uint8Array, key: Uint8Array): StateCookie | null {
  if (bytes.length !== BODY_BYTES + MAC_BYTES) return null;
  if (!timingSafeEqual(bytes.subarray(BODY_BYTES), mac(bytes.subarray(0, BODY_BYTES), key))) return null;
  return {
    localTag: readUint32(bytes, 0),
    localTsn: readUint32(bytes, 4),
    peer: {
      tag: readUint32(bytes, 8),
      initialTsn: readUint32(bytes, 12),
      receiveWindow: readUint32(bytes, 16),
      outboundStreams: readUint16(bytes, 20),
      inboundStreams: readUint16(bytes, 22),
      forwardTsn: (bytes[40] & 1) !== 0,
      reconfig: (bytes[40] & 2) !== 0,
    },
    tieLocalTag: readUint32(bytes, 24),
    tiePeerTag: readUint32(bytes, 28),
    madeAt: new DataView(bytes.buffer, bytes.byteOffset).getFloat64(32),
  };
}

function mac(body: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(body).digest().subarray(0, MAC_BYTES);
}
