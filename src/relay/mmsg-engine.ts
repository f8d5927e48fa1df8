import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type Libc, kernelMemory, requireLibc } from '../net/libc.ts';
import { type RawSocket, openRawSocket, openSharedSockets } from '../net/raw-socket.ts';
import type { MmsgWorkerSetup } from './mmsg-worker.ts';
import { post } from './post.ts';
import type { EngineOptions, RelayEngine } from './relay-engine.ts';
import { MAIL, STOP, controlWord } from './worker-setup.ts';

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** Opens all sockets in a fixed order, then starts one blocking loop per worker. @throws {NetError} */
export function startMmsgEngine(options: EngineOptions): RelayEngine {
  const libc = requireLibc();
  const { receiveBuffer, sendBuffer, workers: setups } = options;
  const buffers = { receiveBuffer, sendBuffer };
  const publicSockets = openSharedSockets(libc, { address: options.udp, dontFragment: true, ...buffers }, setups.length);
  const trunkSockets: RawSocket[] = [];
  try {
    for (let i = 0; i < setups.length; i++) {
      const port = options.trunk.port === 0 ? 0 : options.trunk.port + i;
      trunkSockets.push(openRawSocket(libc, { address: { ...options.trunk, port }, reusePort: false, ...buffers }));
    }
  } catch (error) {
    closeAll(libc, [...publicSockets, ...trunkSockets]);
    throw error;
  }
  const wakeFds = setups.map(() => libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const threads = setups.map((setup, i) => {
    const workerData: MmsgWorkerSetup = {
      ...setup,
      publicFd: publicSockets[i].fd,
      trunkFd: trunkSockets[i].fd,
      wakeFd: wakeFds[i],
    };
    return new Worker(new URL('./mmsg-worker.js', import.meta.url), { workerData, name: `relay ${i}` });
  });
  const one = kernelMemory(8);
  one[0] = 1;
  /** Sets a bit of the control word, then wakes the loop that it is for. */
  const signal = (worker: number, bit: number): void => {
    Atomics.or(controlWord(setups[worker].shared), 0, bit);
    libc.write(wakeFds[worker], one, 8);
  };
  const stop = (): void => setups.forEach((_, i) => signal(i, STOP));
  // A thread in poll(2) would hold up the end of the process until its time-out.
  process.once('exit', stop);
  const exits = Promise.allSettled(threads.map((thread) => once(thread, 'exit')));
  return {
    udp: publicSockets[0].address,
    trunk: trunkSockets.map(({ address }) => address),
    threads,
    started: Promise.all(threads.map((thread) => once(thread, 'message'))),
    answer(worker, records) {
      post(threads[worker], records);
      signal(worker, MAIL);
    },
    async close() {
      process.off('exit', stop);
      stop();
      await exits;
      closeAll(libc, [...publicSockets, ...trunkSockets]);
      for (const fd of wakeFds) libc.close(fd);
    },
  };
}

function closeAll(libc: Libc, sockets: readonly RawSocket[]): void {
  for (const { fd } of sockets) libc.close(fd);
}
