import { DescriptorStream } from '../net/descriptor-stream.ts';
import { requireLibc } from '../net/libc.ts';
import { NetError } from '../net/net-error.ts';
import { type TransportAddress, formatAddress } from '../wire/address.ts';
import { FLOW_RECORD_BYTES } from './flow-record.ts';
import type { HandoverEngine, HandoverFigures, SocketPair } from './handover-engine.ts';
import {
  FRAMES, GREETING_MS, HANDOVER_VERSION, type HandoverKeys, HOLD_MS, NONCE_BYTES, type RelayState, readFlows, readFrame, readState, SMALL_FRAME,
  writeFrame,
} from './handover-wire.ts';

/** What a successor is to be; it must be what the relay before it is. Port 0 and absent workers are any. */
export interface SuccessorOptions {
  readonly udp: TransportAddress;
  readonly trunk: TransportAddress;
  readonly cluster: number;
  readonly workers?: number;
}

/** How long the relay before has for closing its HTTP server and the like. */
const LEAVING_MS = 10_000;

/** The side that comes: a relay that listens at the path and makes way. See handover-wire.ts. */
export class Predecessor {
  /** Its sockets, one pair per worker. Descriptors of our own, which are whoever's that took this object. */
  readonly sockets: readonly SocketPair[];
  readonly #path: string;
  readonly #stream: DescriptorStream;

  private constructor(path: string, stream: DescriptorStream, sockets: readonly SocketPair[]) {
    this.#path = path;
    this.#stream = stream;
    this.sockets = sockets;
  }

  /**
   * Null when no relay listens at the path. The one that does forwards on until {@link takeOver}.
   * @throws {NetError} when it has another secret, other addresses, or is of a version that is not understood.
   */
  static async find(path: string, keys: HandoverKeys, wanted: SuccessorOptions): Promise<Predecessor | null> {
    const libc = requireLibc();
    const stream = DescriptorStream.connect(libc, path);
    if (stream === null) return null;
    const sockets: SocketPair[] = [];
    try {
      const state = await meet(stream, keys);
      requireSame(state, wanted);
      while (sockets.length < state.trunk.length) {
        const [publicFd, trunkFd] = await stream.receiveDescriptors(2, GREETING_MS);
        sockets.push({ publicFd, trunkFd });
      }
      return new Predecessor(path, stream, sockets);
    } catch (error) {
      stream.close();
      for (const { publicFd, trunkFd } of sockets) {
        libc.close(publicFd);
        libc.close(trunkFd);
      }
      throw notTakenOver(path, error);
    }
  }

  /** Has it stop, gives its flows to the workers of `engine`, which were started held, and lets them forward. @throws {NetError} */
  async takeOver(engine: HandoverEngine): Promise<HandoverFigures> {
    try {
      return await this.#takeOver(engine);
    } catch (error) {
      throw notTakenOver(this.#path, error);
    }
  }

  async #takeOver(engine: HandoverEngine): Promise<HandoverFigures> {
    const stream = this.#stream;
    const askedAt = performance.now();
    let bytes = 0;
    await writeFrame(stream, FRAMES.HOLD, new Uint8Array(0), GREETING_MS);
    for (const [i] of this.sockets.entries()) {
      const list = await readFlows(stream, HOLD_MS);
      bytes += list.records.length;
      engine.give(i, list);
    }
    await writeFrame(stream, FRAMES.TAKEN, new Uint8Array(0), GREETING_MS);
    await readFrame(stream, FRAMES.YOURS, 0, HOLD_MS);
    engine.release();
    return { flows: bytes / FLOW_RECORD_BYTES, heldMs: performance.now() - askedAt };
  }

  /** Resolves when it has let go of everything, its HTTP port included, or takes too long for that. */
  async left(): Promise<void> {
    // It says nothing more: whatever ends the reading is the answer.
    await this.#stream.read(1, LEAVING_MS).catch(() => undefined);
    this.#stream.close();
  }

  /** Leaves it as it is. */
  abandon(): void {
    this.#stream.close();
  }
}

function notTakenOver(path: string, error: unknown): unknown {
  if (!(error instanceof NetError)) return error;
  return new NetError(error.code, `Cannot take over from the relay at ${path}: ${error.message}`, { cause: error });
}

/** Each proves to the other that it has the secret. */
async function meet(stream: DescriptorStream, keys: HandoverKeys): Promise<RelayState> {
  const hello = await readFrame(stream, FRAMES.HELLO, SMALL_FRAME, GREETING_MS);
  if (hello[0] !== HANDOVER_VERSION || hello.length !== 1 + NONCE_BYTES) {
    throw new NetError('EPROTONOSUPPORT', 'The relay is of a version that cannot hand over to this one: stop it, then start this');
  }
  const ownNonce = keys.nonce();
  const nonces = Buffer.concat([hello.subarray(1), ownNonce]);
  await writeFrame(stream, FRAMES.CLAIM, Buffer.concat([ownNonce, keys.prove('successor', nonces)]), GREETING_MS);
  const { proofs, ...state } = await readState(stream);
  if (!keys.verify('relay', nonces, proofs)) throw new NetError('EACCES', 'What listens there has another EARSHOT_SECRET than this relay');
  return state;
}

function requireSame(state: RelayState, wanted: SuccessorOptions): void {
  const differ = (what: string, has: string | number, wants: string | number): NetError =>
    new NetError('EINVAL', `A handover changes no address: the relay has ${what} ${has}, and this one wants ${wants}. Stop it, then start this`);
  const { udp, trunk, cluster, workers } = wanted;
  if (udp.port !== 0 && state.udp !== formatAddress(udp)) throw differ('--udp', state.udp, formatAddress(udp));
  if (trunk.port !== 0 && state.trunk[0] !== formatAddress(trunk)) throw differ('--trunk', state.trunk[0], formatAddress(trunk));
  if (state.cluster !== cluster) throw differ('--cluster', state.cluster, cluster);
  if (workers !== undefined && state.trunk.length !== workers) throw differ('--workers', state.trunk.length, workers);
}
