import { parentPort, workerData } from 'node:worker_threads';
import { DelayedPath, type PathConditions } from './delayed-path.ts';

/** The path in a thread of its own, so that nothing else of the bench makes it late. */
export type PathOrder = { readonly type: 'impose'; readonly conditions: PathConditions } | { readonly type: 'lateness' };

const port = parentPort!;
const path = await DelayedPath.open((workerData as { relay: string }).relay);
port.on('message', (order: PathOrder) => {
  if (order.type === 'impose') {
    path.forgetCallers();
    path.impose(order.conditions);
    port.postMessage(null);
  } else {
    port.postMessage(path.lateness);
  }
});
port.postMessage(path.address);
