import { encodeUint16List, encodeUseSrtp } from '../../../src/webrtc/dtls/extensions.ts';
import { decodeHandshakeFragments, encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import type { HandshakeFragment, HandshakeMessage } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import type { ClientHello } from '../../../src/webrtc/dtls/hello-messages.ts';
import type { RecordHeader } from '../../../src/webrtc/dtls/record.ts';
import { parseRecord } from '../../../src/webrtc/dtls/record-layer.ts';
import { plaintextProtection } from '../../../src/webrtc/dtls/record-protection.ts';
import { contentType, extensionType } from '../../../src/webrtc/dtls/registry.ts';
import type { UnifiedHeader } from '../../../src/webrtc/dtls/unified-header.ts';

/** A record in clear text, as an attacker or a broken peer would write it. */
export function clearRecord(type: number, fragment: Uint8Array, sequence: number, epoch = 0): Uint8Array {
  const record = new Uint8Array(fragment.length + plaintextProtection.overhead);
  plaintextProtection.seal(type, epoch, sequence, fragment, record, 0);
  return record;
}

/** A whole handshake message in one clear text record. */
export function clearMessage(message: HandshakeMessage, sequence: number): Uint8Array {
  return clearRecord(contentType.handshake, encodeHandshakeFragment(message, 0, message.body.length), sequence);
}

export interface DissectedRecord {
  readonly header: RecordHeader | UnifiedHeader;
  readonly bytes: Uint8Array;
  /** Of a handshake record in clear text. */
  readonly fragments: readonly HandshakeFragment[];
}

export function dissect(datagram: Uint8Array): DissectedRecord[] {
  const records: DissectedRecord[] = [];
  for (let at = 0; at < datagram.length; ) {
    const header = parseRecord(datagram, at);
    if (!header) break;
    const clear = header.form === 'classic' && header.type === contentType.handshake && header.epoch === 0;
    const bytes = new Uint8Array(datagram.subarray(at, header.end));
    const fragments = clear ? (decodeHandshakeFragments(bytes.subarray(header.start - at)) ?? []) : [];
    records.push({ header, bytes, fragments });
    at = header.end;
  }
  return records;
}

/** What a plain client of ours offers, to be changed by a test. */
export function sampleClientHello(changes: Partial<ClientHello> = {}, extensions: [number, Uint8Array | null][] = []): ClientHello {
  const map = new Map<number, Uint8Array>([
    [extensionType.supportedGroups, encodeUint16List([29, 23])],
    [extensionType.signatureAlgorithms, encodeUint16List([0x0403])],
    [extensionType.extendedMasterSecret, new Uint8Array(0)],
    [extensionType.useSrtp, encodeUseSrtp(['AEAD_AES_128_GCM'])],
  ]);
  for (const [type, data] of extensions) {
    if (data) map.set(type, data);
    else map.delete(type);
  }
  return {
    version: 0xfefd,
    random: new Uint8Array(32).fill(7),
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    cipherSuites: [0xc02b],
    compressionMethods: Uint8Array.of(0),
    extensions: map,
    ...changes,
  };
}
