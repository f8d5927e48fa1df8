import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { DelayedPath, type PathConditions } from './delayed-path.ts';

/** The path in a thread of its own, so that nothing else of the bench makes it late. */
export type PathOrder = { readonly type: 'impose'; readonly conditions: PathConditions } | { readonly type: 'lateness' | 'crossings' };

const port = parentPort!;
try {
  // Of this thread alone, on Linux: a path does not wait for those at its ends. It takes a right that not everybody has.
  setPriority(constants.priority.PRIORITY_HIGHEST);
} catch {
  // Then the path's lateness, which the bench tells, is what it is.
}
const path = await DelayedPath.open((workerData as { relay: string }).relay);
port.on('message', (order: PathOrder) => {
  if (order.type === 'impose') {
    path.forgetCallers();
    path.impose(order.conditions);
    port.postMessage(null);
  } else {
    port.postMessage(path[order.type]);
  }
});
port.postMessage(path.address);
