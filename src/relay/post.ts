import type { MessagePort, Worker } from 'node:worker_threads';

/** Posts to a thread, or from a thread to the one that started it. */
export function post(to: MessagePort | Worker | null, message: unknown): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  to?.postMessage(message);
}
