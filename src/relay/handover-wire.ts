import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { DescriptorStream } from '../net/descriptor-stream.ts';
import { NetError } from '../net/net-error.ts';
import { deriveKey } from '../wire/derive-key.ts';
import { FLOW_RECORD_BYTES } from './flow-record.ts';
import type { FlowList } from './handover-flows.ts';

/**
 * What a relay and its successor say to each other, over a {@link DescriptorStream}, version 1:
 *
 *   relay ── HELLO   version u8, nonce 16 ───────────────────────────────► successor
 *         ◄─ CLAIM   nonce 16, a proof 32 for each secret it knows ──────
 *         ── STATE   JSON, its own proofs among it ──────────────────────►   or REFUSED, a sentence, at any time
 *         ── worker 0: descriptors (public, trunk), worker 1: … ─────────►
 *         ◄─ HOLD ─────────────────────────────────────────────────────── it is ready to forward
 *    stops reading its sockets
 *         ── worker 0: FLOWS   vouched u32, records, worker 1: … ────────►
 *         ◄─ TAKEN ──────────────────────────────────────────────────────
 *    is no relay any more
 *         ── YOURS ──────────────────────────────────────────────────────►   forwards
 *         ── end ────────────────────────────────────────────────────────►   the HTTP port is free, too
 *
 * Until it has written YOURS the relay may forward on: when the successor dies, or takes too long. What came meanwhile
 * waits in the sockets, whoever reads them next. Frames: type u8, length u32, payload; integers are big-endian.
 * A proof is HMAC-SHA256 of who speaks and both nonces, under a key of the deployment's secret.
 */
export const HANDOVER_VERSION = 1;

export const FRAMES = { HELLO: 1, CLAIM: 2, STATE: 3, REFUSED: 4, HOLD: 5, FLOWS: 6, TAKEN: 7, YOURS: 8 } as const;
type FrameType = (typeof FRAMES)[keyof typeof FRAMES];

/** What stays the same when one relay becomes another. */
export interface RelayState {
  /** `host:port` */
  readonly udp: string;
  /** `host:port`, one per worker. */
  readonly trunk: readonly string[];
  readonly cluster: number;
}

/** How long a side has for its next message before the relay is held … */
export const GREETING_MS = 2000;
/** … for starting its workers … */
export const START_MS = 15_000;
/** … and while packets wait: what comes in such a time fits the socket buffers. */
export const HOLD_MS = 2000;

export const NONCE_BYTES = 16;
const PROOF_BYTES = 32;
/** A frame that comes before the other side has proved itself. */
export const SMALL_FRAME = 65_536;
/** The flows of one worker: 2²⁴ at most. */
const FLOWS_FRAME = 4 + 16_777_216 * FLOW_RECORD_BYTES;

const HEADER_BYTES = 5;

export async function writeFrame(stream: DescriptorStream, type: FrameType, payload: Uint8Array, timeoutMs: number): Promise<void> {
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = type;
  header.writeUInt32BE(payload.length, 1);
  await stream.write(Buffer.concat([header, payload]), timeoutMs);
}

/** @throws {NetError} `ECONNREFUSED` with the other side's sentence, `EBADMSG`, or what the stream says. */
export async function readFrame(stream: DescriptorStream, type: FrameType, limit: number, timeoutMs: number): Promise<Buffer> {
  const by = performance.now() + timeoutMs;
  const header = await stream.read(HEADER_BYTES, timeoutMs);
  const length = header.readUInt32BE(1);
  if (length > limit) throw new NetError('EBADMSG', 'The other side of the handover speaks another language');
  const payload = length === 0 ? Buffer.alloc(0) : await stream.read(length, by - performance.now());
  if (header[0] === type) return payload;
  if (header[0] === FRAMES.REFUSED) throw new NetError('ECONNREFUSED', payload.toString());
  throw new NetError('EBADMSG', 'The other side of the handover speaks another language');
}

/** The relay's state with its proofs. */
export function writeState(stream: DescriptorStream, state: RelayState, proofs: Uint8Array): Promise<void> {
  const json = JSON.stringify({ ...state, proofs: Buffer.from(proofs).toString('base64') });
  return writeFrame(stream, FRAMES.STATE, Buffer.from(json), GREETING_MS);
}

/** Whoever has written it is proved by its `proofs` only. */
export async function readState(stream: DescriptorStream): Promise<RelayState & { readonly proofs: Uint8Array }> {
  const text = (await readFrame(stream, FRAMES.STATE, SMALL_FRAME, GREETING_MS)).toString();
  const { proofs, ...state } = JSON.parse(text) as RelayState & { readonly proofs: string };
  return { ...state, proofs: Buffer.from(proofs, 'base64') };
}

export function writeFlows(stream: DescriptorStream, { records, vouched }: FlowList, timeoutMs: number): Promise<void> {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(vouched);
  return writeFrame(stream, FRAMES.FLOWS, Buffer.concat([count, records]), timeoutMs);
}

export async function readFlows(stream: DescriptorStream, timeoutMs: number): Promise<FlowList> {
  const payload = await readFrame(stream, FRAMES.FLOWS, FLOWS_FRAME, timeoutMs);
  if (payload.length < 4 || (payload.length - 4) % FLOW_RECORD_BYTES !== 0) throw new NetError('EBADMSG', 'The list of flows is malformed');
  return { records: new Uint8Array(payload.subarray(4)), vouched: payload.readUInt32BE(0) };
}

/** The deployment's secrets as proofs of a handover. */
export class HandoverKeys {
  readonly #keys: readonly Uint8Array[];

  constructor(secret: string, previousSecret: string | undefined) {
    const secrets = previousSecret === undefined ? [secret] : [secret, previousSecret];
    this.#keys = secrets.map((each) => deriveKey(each, 'earshot handover v1', 32));
  }

  nonce(): Buffer {
    return randomBytes(NONCE_BYTES);
  }

  /** A proof under each secret. */
  prove(who: 'relay' | 'successor', nonces: Uint8Array): Buffer {
    return Buffer.concat(this.#keys.map((key) => proof(key, who, nonces)));
  }

  /** Whether one of the proofs, one after the other, is made under one of the secrets. */
  verify(who: 'relay' | 'successor', nonces: Uint8Array, proofs: Uint8Array): boolean {
    return this.#keys.some((key) => {
      const expected = proof(key, who, nonces);
      for (let at = 0; at + PROOF_BYTES <= proofs.length; at += PROOF_BYTES) {
        if (timingSafeEqual(proofs.subarray(at, at + PROOF_BYTES), expected)) return true;
      }
      return false;
    });
  }
}

function proof(key: Uint8Array, who: string, nonces: Uint8Array): Buffer {
  return createHmac('sha256', key).update(`${who} `).update(nonces).digest();
}
