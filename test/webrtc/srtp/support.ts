import { readFileSync } from 'node:fs';
import type { SrtpCiphers } from '../../../src/webrtc/srtp/ciphers.ts';
import { openEvp } from '../../../src/webrtc/srtp/evp.ts';
import type { SrtpKeys } from '../../../src/webrtc/srtp/key-derivation.ts';
import { nodeCryptoCiphers } from '../../../src/webrtc/srtp/node-crypto.ts';
import { SrtpReceiver } from '../../../src/webrtc/srtp/srtp-receiver.ts';
import { SRTP_MAX_OVERHEAD, SrtpSender } from '../../../src/webrtc/srtp/srtp-sender.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../../../src/webrtc/srtp-profile.ts';

export { fromHex, hex } from '../rtp/support.ts';

export const PROFILES = Object.keys(SRTP_PROFILES) as SrtpProfile[];

/** Both implementations; where OpenSSL cannot be called directly, only the portable one. */
export const CIPHERS: SrtpCiphers[] = [nodeCryptoCiphers];
export let evpMissing: string | false = false;
try {
  CIPHERS.push(openEvp());
} catch (error) {
  evpMissing = `OpenSSL cannot be called directly here: ${String(error)}`;
}

export function testKeys(profile: SrtpProfile, seed = 1): SrtpKeys {
  const { keyLength, saltLength } = SRTP_PROFILES[profile];
  return {
    profile,
    masterKey: Uint8Array.from({ length: keyLength }, (_, i) => i * 7 + seed),
    masterSalt: Uint8Array.from({ length: saltLength }, (_, i) => i * 13 + seed),
  };
}

export interface Pair {
  readonly sender: SrtpSender;
  readonly receiver: SrtpReceiver;
  readonly close: () => void;
}

export function createPair(profile: SrtpProfile, ciphers: SrtpCiphers): Pair {
  const sender = new SrtpSender(testKeys(profile), ciphers);
  const receiver = new SrtpReceiver(testKeys(profile), ciphers);
  return {
    sender,
    receiver,
    close: () => {
      sender.close();
      receiver.close();
    },
  };
}

export function rtp(sequence: number, ssrc = 0x1234_5678, payload: Uint8Array = new Uint8Array(20).fill(7)): Uint8Array {
  const packet = Buffer.alloc(12 + payload.length);
  packet[0] = 0x80;
  packet[1] = 111;
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE((sequence * 960) >>> 0, 4);
  packet.writeUInt32BE(ssrc, 8);
  packet.set(payload, 12);
  return new Uint8Array(packet);
}

/** A receiver report without report blocks, then `rest`. */
export function rtcp(ssrc = 0x1234_5678, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const packet = Buffer.alloc(8 + rest.length);
  packet[0] = 0x80;
  packet[1] = 201;
  packet.writeUInt16BE(1 + rest.length / 4, 2);
  packet.writeUInt32BE(ssrc, 4);
  packet.set(rest, 8);
  return new Uint8Array(packet);
}

/** The protected form of `plain`, in memory of its own. */
export function protect(sender: SrtpSender, plain: Uint8Array, kind: 'rtp' | 'rtcp' = 'rtp'): Uint8Array {
  const buffer = roomy(plain);
  const length = kind === 'rtp' ? sender.protectRtp(buffer, plain.length) : sender.protectRtcp(buffer, plain.length);
  if (length < 0) throw new Error(`not protected: ${length}`);
  return buffer.slice(0, length);
}

/** The plain form of `packet`, or the (negative) code of the refusal. Leaves `packet` as it is. */
export function unprotect(receiver: SrtpReceiver, packet: Uint8Array, kind: 'rtp' | 'rtcp' = 'rtp'): Uint8Array | number {
  const buffer = packet.slice();
  const { length } = packet;
  const plain = kind === 'rtp' ? receiver.unprotectRtp(buffer, length) : receiver.unprotectRtcp(buffer, length);
  return plain < 0 ? plain : buffer.slice(0, plain);
}

export function roomy(plain: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(plain.length + SRTP_MAX_OVERHEAD);
  buffer.set(plain);
  return buffer;
}

/** A file of test/fixtures/srtp; tests run compiled, from dist/test/webrtc/srtp. */
export function readFixture(name: string): string {
  return readFileSync(new URL(`../../../../test/fixtures/srtp/${name}`, import.meta.url), 'utf8');
}
