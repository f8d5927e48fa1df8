import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { NetError } from '../net/net-error.ts';
import { CLOSE, type DgramWorkerMessage, type DgramWorkerSetup } from './dgram-messages.ts';
import { post } from './post.ts';
import type { EngineOptions, RelayEngine } from './relay-engine.ts';

/** Starts the one worker that this engine has: node:dgram cannot share a port between threads. @throws {NetError} */
export async function startDgramEngine(options: EngineOptions): Promise<RelayEngine> {
  const { udp, trunk, receiveBuffer, sendBuffer } = options;
  const workerData: DgramWorkerSetup = { ...options.workers[0], udp, trunk, receiveBuffer, sendBuffer };
  const thread = new Worker(new URL('./dgram-worker.js', import.meta.url), { workerData, name: 'relay 0' });
  const exit = Promise.allSettled([once(thread, 'exit')]);
  const [message] = (await once(thread, 'message')) as [DgramWorkerMessage];
  if (message.type === 'failed') {
    await exit;
    throw new NetError(message.code, message.message);
  }
  return {
    udp: message.udp,
    trunk: [message.trunk],
    threads: [thread],
    started: Promise.resolve(),
    tell(_worker, mail) {
      post(thread, mail);
    },
    handover: null,
    async close() {
      post(thread, CLOSE);
      await exit;
    },
  };
}
