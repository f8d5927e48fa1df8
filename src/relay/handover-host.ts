import { rmSync } from 'node:fs';
import { DescriptorListener, type DescriptorStream, isAbstract } from '../net/descriptor-stream.ts';
import { requireLibc } from '../net/libc.ts';
import { NetError } from '../net/net-error.ts';
import { FLOW_RECORD_BYTES } from './flow-record.ts';
import type { HandoverEngine, HandoverFigures } from './handover-engine.ts';
import type { FlowList } from './handover-flows.ts';
import {
  FRAMES, GREETING_MS, HANDOVER_VERSION, type HandoverKeys, HOLD_MS, NONCE_BYTES, type RelayState, readFrame, SMALL_FRAME, START_MS, writeFlows,
  writeFrame, writeState,
} from './handover-wire.ts';

export interface HandoverHostOptions {
  readonly path: string;
  readonly keys: HandoverKeys;
  readonly engine: HandoverEngine;
  readonly state: RelayState;
  /** A successor has everything. Comes at most once; the engine stays held. */
  readonly onGone: (figures: HandoverFigures) => void;
  /** Somebody asked, and nothing came of it. */
  readonly onFailed: (error: Error) => void;
}

/** The side that is there: waits at a path for a successor, and makes way for it. See handover-wire.ts. */
export class HandoverHost {
  readonly #options: HandoverHostOptions;
  #listener: DescriptorListener;
  readonly #streams = new Set<DescriptorStream>();
  #isBusy = false;
  #isGone = false;

  /** @throws {NetError} when it cannot listen at the path. */
  constructor(options: HandoverHostOptions) {
    this.#options = options;
    this.#listener = this.#listen();
  }

  #listen(): DescriptorListener {
    return DescriptorListener.open(requireLibc(), this.#options.path, (stream) => void this.#serve(stream));
  }

  #listenAgain(): void {
    if (!this.#listener.closed) return;
    try {
      this.#listener = this.#listen();
    } catch (error) {
      this.#options.onFailed(error as Error);
    }
  }

  /** Nobody is served any more. For a successor that has taken over it is the sign that this process has let go of all. */
  close(): void {
    this.#listener.close();
    for (const stream of this.#streams) stream.close();
    // A successor has a socket of its own there.
    if (!this.#isGone && !isAbstract(this.#options.path)) rmSync(this.#options.path, { force: true });
  }

  async #serve(stream: DescriptorStream): Promise<void> {
    this.#streams.add(stream);
    try {
      const nonces = await this.#greet(stream);
      if (this.#isBusy || this.#isGone) throw new NetError('EBUSY', 'Another process is taking over from the same relay');
      this.#isBusy = true;
      try {
        await this.#handOver(stream, nonces);
      } finally {
        this.#isBusy = false;
      }
      return;
    } catch (error) {
      this.#options.onFailed(error as Error);
      const reason = error instanceof NetError ? error.message : 'The relay could not hand over';
      await writeFrame(stream, FRAMES.REFUSED, Buffer.from(reason), GREETING_MS).catch(() => undefined);
    }
    this.#streams.delete(stream);
    stream.close();
  }

  /** Resolves with the nonces when the other side has shown that it has the secret. */
  async #greet(stream: DescriptorStream): Promise<Uint8Array> {
    const { keys } = this.#options;
    const ownNonce = keys.nonce();
    await writeFrame(stream, FRAMES.HELLO, Buffer.concat([Uint8Array.of(HANDOVER_VERSION), ownNonce]), GREETING_MS);
    const claim = await readFrame(stream, FRAMES.CLAIM, SMALL_FRAME, GREETING_MS);
    const nonces = Buffer.concat([ownNonce, claim.subarray(0, NONCE_BYTES)]);
    if (!keys.verify('successor', nonces, claim.subarray(NONCE_BYTES))) {
      throw new NetError('EACCES', 'The successor has another EARSHOT_SECRET than the relay that it is to take over from');
    }
    return nonces;
  }

  async #handOver(stream: DescriptorStream, nonces: Uint8Array): Promise<void> {
    const { keys, state, engine, onGone } = this.#options;
    await writeState(stream, state, keys.prove('relay', nonces));
    for (const { publicFd, trunkFd } of engine.sockets) await stream.sendDescriptors([publicFd, trunkFd], GREETING_MS);
    await readFrame(stream, FRAMES.HOLD, 0, START_MS);
    const heldAt = performance.now();
    const left = (): number => heldAt + HOLD_MS - performance.now();
    let bytes = 0;
    try {
      for (const list of await within(engine.hold(), left())) {
        bytes += list.records.length;
        await writeFlows(stream, list, left());
      }
      await readFrame(stream, FRAMES.TAKEN, 0, left());
      // The successor listens in its turn as soon as it has read that.
      this.#listener.close();
      await writeFrame(stream, FRAMES.YOURS, new Uint8Array(0), left());
    } catch (error) {
      // The successor forwards nothing before it has read YOURS, and never will: its stream is closed.
      engine.release();
      this.#listenAgain();
      throw error;
    }
    this.#isGone = true;
    onGone({ flows: bytes / FLOW_RECORD_BYTES, heldMs: performance.now() - heldAt });
  }
}

/** @throws {NetError} `ETIMEDOUT` */
async function within(lists: Promise<FlowList[]>, milliseconds: number): Promise<FlowList[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NetError('ETIMEDOUT', 'The workers of the relay do not stop')), milliseconds);
  });
  try {
    return await Promise.race([lists, late]);
  } finally {
    clearTimeout(timer);
  }
}
