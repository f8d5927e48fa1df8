import type { CallObservation, CallObserver } from '../signaling/call-service.ts';
import type { ObserverAct, ShardMessage } from './protocol.ts';
import type { Shard } from './shard.ts';

/** The shard's end of the observers: what they see goes to the main thread by number. */
export class ShardObservers {
  readonly #shard: Shard;
  readonly #tell: (message: ShardMessage) => void;
  readonly #observations = new Map<number, CallObservation>();

  constructor(shard: Shard, tell: (message: ShardMessage) => void) {
    this.#shard = shard;
    this.#tell = tell;
  }

  /** @throws {CallError} 404 for an unknown call. */
  add(callId: string, observerId: number): void {
    const observation = this.#shard.observe(callId, {
      event: (json) => this.#tell({ type: 'observed', observerId, json }),
      ended: (reason) => {
        this.#observations.delete(observerId);
        this.#tell({ type: 'observed-end', observerId, reason });
      },
    });
    this.#observations.set(observerId, observation);
  }

  act(act: ObserverAct): void {
    const observation = this.#observations.get(act.observerId);
    if (act.type === 'observer-sends') observation?.send(act.json);
    else {
      observation?.stop();
      this.#observations.delete(act.observerId);
    }
  }
}

/** The main thread's end of one shard's observers. */
export class RemoteObservers {
  readonly #post: (act: ObserverAct) => void;
  readonly #observers = new Map<number, CallObserver>();
  #nextId = 1;

  constructor(post: (act: ObserverAct) => void) {
    this.#post = post;
  }

  /** @param ask asks the shard; what it shows before it has answered is not lost. */
  async add(observer: CallObserver, ask: (observerId: number) => Promise<unknown>): Promise<CallObservation> {
    const observerId = this.#nextId++;
    this.#observers.set(observerId, observer);
    try {
      await ask(observerId);
    } catch (error) {
      this.#observers.delete(observerId);
      throw error;
    }
    return {
      send: (json) => this.#post({ type: 'observer-sends', observerId, json }),
      stop: () => {
        if (this.#observers.delete(observerId)) this.#post({ type: 'observer-stops', observerId });
      },
    };
  }

  handle(message: Extract<ShardMessage, { type: 'observed' | 'observed-end' }>): void {
    const observer = this.#observers.get(message.observerId);
    if (message.type === 'observed') observer?.event(message.json);
    else {
      this.#observers.delete(message.observerId);
      observer?.ended(message.reason);
    }
  }

  /** The shard is gone, and its calls with it. */
  end(reason: string): void {
    for (const observer of this.#observers.values()) observer.ended(reason);
    this.#observers.clear();
  }
}
