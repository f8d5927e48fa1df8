import type { StunMessage } from '../stun/message.ts';
import type { StunWriter } from '../stun/writer.ts';

/** What travels inside of checks and their answers besides ICE itself. */
export interface StunCargo {
  /**
   * A check has come, or the answer to one of ours. It is authentic and of the present credentials: what stands in front
   * of its MESSAGE-INTEGRITY, and that alone can be read, may be believed. Comes before the answer to a check is loaded.
   * @param roundTripTime ms, where it has been measured
   */
  unload(message: StunMessage, now: number, roundTripTime: number | null): void;
  /**
   * Adds to a check, or to the answer to one, that is about to be sealed.
   * @returns true when more waits to be carried: another check is worth its while
   */
  load(writer: StunWriter): boolean;
}
