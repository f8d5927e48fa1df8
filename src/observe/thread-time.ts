import { createRequire } from 'node:module';
import type koffiModule from 'koffi';

/** CLOCK_THREAD_CPUTIME_ID of Linux. */
const THREAD_CLOCK = 3;

let read: (() => number) | undefined;

/**
 * Milliseconds that the calling thread has computed, from any start: what a piece of work costs its event loop, without
 * the time for which the machine let others run. Where the system cannot be asked the time that passes stands for it.
 */
export function threadTime(): number {
  read ??= openThreadClock() ?? (() => performance.now());
  return read();
}

function openThreadClock(): (() => number) | null {
  if (process.platform !== 'linux') return null;
  try {
    // Not a static import: koffi has no binary for every machine.
    const koffi = createRequire(import.meta.url)('koffi') as typeof koffiModule;
    const clockGettime = koffi.load(null).func('int clock_gettime(int, _Out_ int64_t *)') as (clock: number, time: BigInt64Array) => number;
    const time = new BigInt64Array(2);
    return () => {
      clockGettime(THREAD_CLOCK, time);
      return Number(time[0]) * 1000 + Number(time[1]) / 1e6;
    };
  } catch {
    return null;
  }
}
