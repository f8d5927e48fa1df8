import { constants } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Logger } from '../observe/log.ts';

export interface Stoppable {
  /** Takes nothing new and waits for what is in progress, at most `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
type Signal = (typeof SIGNALS)[number];

/** npm passes Ctrl+C on to a process that the terminal has already told: the echo of one key press comes this soon. */
const ECHO_MS = 250;

/**
 * Waits for SIGTERM or SIGINT, then drains and closes, and resolves. A second signal ends the process at once, with
 * the exit code that the signal would have given. Signals are caught from the call on, so say that the service runs
 * after it: whoever reads that may send one.
 * @param handover `done` resolves when another process does all the work: then this one closes at once, and with `stays`
 * waits for a signal before it resolves, for a supervisor that would start it again.
 */
export async function runUntilSignal(
  service: Stoppable,
  drainTimeoutMs: number,
  logger: Logger,
  handover: { readonly done: Promise<object>; readonly stays: boolean } = { done: new Promise(() => undefined), stays: false },
): Promise<void> {
  // Waiting for a signal alone does not keep a process alive, should the service have nothing open that does.
  const keepAlive = setInterval(() => undefined, 2 ** 31 - 1);
  const signalled = new Promise<Signal>((resolve) => {
    for (const signal of SIGNALS) process.once(signal, resolve);
  });
  void handover.done.then((figures) => logger.info(figures, 'handed over to a successor'));
  const first = await Promise.race([signalled, handover.done]);
  const at = performance.now();
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const isEcho = signal === 'SIGINT' && first === 'SIGINT' && performance.now() - at < ECHO_MS;
      // Who is handed over is about to end, and may be told so by somebody who has not seen that.
      const isLate = typeof first !== 'string';
      if (!isEcho && !isLate) process.exit(128 + constants.signals[signal]);
    });
  }
  if (typeof first === 'string') {
    logger.info({ signal: first, timeoutMs: drainTimeoutMs }, 'draining; a second signal ends at once');
    await service.drain(drainTimeoutMs);
  }
  await service.close();
  if (typeof first !== 'string' && handover.stays) {
    logger.info('nothing left to do; waiting for the signal to end');
    await signalled;
  }
  clearInterval(keepAlive);
  logger.info('stopped');
}
