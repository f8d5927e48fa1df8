import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { type Libc, kernelMemory, requireLibc } from '../net/libc.ts';
import { type RawSocket, adoptRawSocket, openRawSocket, openSharedSockets } from '../net/raw-socket.ts';
import type { SocketPair } from './handover-engine.ts';
import type { FlowList } from './handover-flows.ts';
import type { MmsgWorkerSetup } from './mmsg-worker.ts';
import { post } from './post.ts';
import type { EngineOptions, RelayEngine } from './relay-engine.ts';
import { HOLD, MAIL, STOP, controlWord } from './worker-setup.ts';

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;

/** Opens all sockets in a fixed order, or takes inherited ones, then starts one blocking loop per worker. @throws {NetError} */
export function startMmsgEngine(options: EngineOptions): RelayEngine {
  const libc = requireLibc();
  const { workers: setups } = options;
  const { publicSockets, trunkSockets } = options.inherited ? adoptSockets(libc, options.inherited) : openSockets(libc, options);
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
    const control = controlWord(setups[worker].shared);
    Atomics.or(control, 0, bit);
    Atomics.notify(control, 0);
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
    tell(worker, mail) {
      post(threads[worker], mail);
      signal(worker, MAIL);
    },
    handover: {
      sockets: setups.map((_, i) => ({ publicFd: publicSockets[i].fd, trunkFd: trunkSockets[i].fd })),
      hold: () => Promise.all(threads.map((thread, i) => {
        const held = heldFlows(thread);
        signal(i, HOLD);
        return held;
      })),
      release() {
        for (const { shared } of setups) {
          Atomics.and(controlWord(shared), 0, ~HOLD);
          Atomics.notify(controlWord(shared), 0);
        }
      },
      give(worker, flows) {
        post(threads[worker], flows);
        signal(worker, MAIL);
      },
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

interface EngineSockets {
  readonly publicSockets: readonly RawSocket[];
  readonly trunkSockets: readonly RawSocket[];
}

function openSockets(libc: Libc, { udp, trunk, receiveBuffer, sendBuffer, workers }: EngineOptions): EngineSockets {
  const buffers = { receiveBuffer, sendBuffer };
  const publicSockets = openSharedSockets(libc, { address: udp, dontFragment: true, ...buffers }, workers.length);
  const trunkSockets: RawSocket[] = [];
  try {
    for (const [i] of workers.entries()) {
      const port = trunk.port === 0 ? 0 : trunk.port + i;
      trunkSockets.push(openRawSocket(libc, { address: { ...trunk, port }, reusePort: false, ...buffers }));
    }
  } catch (error) {
    closeAll(libc, [...publicSockets, ...trunkSockets]);
    throw error;
  }
  return { publicSockets, trunkSockets };
}

function adoptSockets(libc: Libc, pairs: readonly SocketPair[]): EngineSockets {
  return {
    publicSockets: pairs.map(({ publicFd }) => adoptRawSocket(libc, publicFd)),
    trunkSockets: pairs.map(({ trunkFd }) => adoptRawSocket(libc, trunkFd)),
  };
}

/** Resolves with the flows of a worker, which it says when it is held. */
function heldFlows(thread: Worker): Promise<FlowList> {
  return new Promise((resolve) => {
    const listen = (message: unknown): void => {
      if (typeof message !== 'object' || message === null || !('vouched' in message)) return;
      thread.off('message', listen);
      resolve(message as FlowList);
    };
    thread.on('message', listen);
  });
}

function closeAll(libc: Libc, sockets: readonly RawSocket[]): void {
  for (const { fd } of sockets) libc.close(fd);
}
