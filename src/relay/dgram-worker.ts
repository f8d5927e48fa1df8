import { parentPort, workerData } from 'node:worker_threads';
import { AddressBook } from '../net/address-book.ts';
import { NetError } from '../net/net-error.ts';
import { openUdpSocket } from '../net/open-udp-socket.ts';
import type { BundleSlots } from '../net/trunk-bundles.ts';
import { MAX_DATAGRAM_BYTES, type UdpSocket, type UdpSocketCounters, type UdpSocketHandler } from '../net/udp-socket.ts';
import type { TransportAddress } from '../wire/address.ts';
import { PacketPath } from './packet-path.ts';
import { CLOSE, type DgramWorkerMessage, type DgramWorkerSetup } from './dgram-messages.ts';
import { post } from './post.ts';
import { RecoveryMail } from './recovery-mail.ts';
import { type WorkerMail, histogramBlock, makeCore, peerReports, takeMail } from './worker-setup.ts';

/** A relay worker of the `dgram` engine: a thread with an event loop and two node:dgram sockets. */
const SLOTS = 64;
const TICK_MS = 1000;
const SLOW_LOOP_MS = 5;
/** How late a probe of a peer may be. */
const PROBE_TICK_MS = 20;

async function run(setup: DgramWorkerSetup, sockets: UdpSocket[]): Promise<void> {
  const mail = new RecoveryMail((message) => post(parentPort, message));
  const parts = makeCore(setup, mail, performance.now());
  const { core, probers, counters, cookies } = parts;
  const { loop } = histogramBlock(setup.shared);
  /** When the round that has begun did so; null between rounds. */
  let roundStart: number | null = null;
  const begin = (): number => {
    const now = performance.now();
    roundStart ??= now;
    return now;
  };
  const end = (): void => {
    if (roundStart === null) return;
    const milliseconds = performance.now() - roundStart;
    roundStart = null;
    counters.add('loops', 1);
    counters.add('loopSeconds', milliseconds / 1000);
    if (milliseconds > SLOW_LOOP_MS) counters.add('slowLoops', 1);
    loop.observe(milliseconds / 1000);
  };
  const clients = new AddressBook();
  const peers = new AddressBook(4096);
  const path = new PacketPath({
    core,
    cluster: setup.cluster,
    probers,
    counters,
    cookies,
    mtu: setup.trunkMtu,
    forwardSlots: makeSlots(),
    viaSlots: makeSlots(),
    sinks: {
      toClient(data, offset, length, family, ip, ipOffset, port) {
        publicSocket.send(data.subarray(offset, offset + length), clients.intern(ip, ipOffset, family, port));
      },
      toTrunk(bundles) {
        for (let i = 0; i < bundles.count; i++) {
          const start = bundles.slots.slotAt(i);
          const peer = peers.intern(bundles.peerIps, i * 4, 4, bundles.peerPort(i));
          trunkSocket.send(bundles.slots.memory.subarray(start, start + bundles.length(i)), peer);
        }
      },
    },
  });
  const open = async (address: TransportAddress, datagram: UdpSocketHandler['datagram']): Promise<UdpSocket> => {
    const { receiveBuffer, sendBuffer } = setup;
    const handler: UdpSocketHandler = {
      // What comes before both sockets are open has nowhere to go.
      datagram: (data, from) => sockets.length === 2 && datagram(data, from),
      batchEnd() {
        path.flush();
        for (const socket of sockets) socket.flush();
        mail.flush();
        end();
      },
    };
    const socket = await openUdpSocket({ address, handler, engine: 'dgram', receiveBuffer, sendBuffer });
    sockets.push(socket);
    return socket;
  };
  const publicSocket = await open(setup.udp, (data, from) => {
    path.fromClient(data, 0, data.length, from.family, from.ip, 0, from.port, begin());
  });
  const trunkSocket = await open(setup.trunk, (data, from) => {
    path.fromTrunk(data, 0, data.length, from.ip, 0, from.port, begin());
  });

  let oversize = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    core.tick(now);
    const reports = peerReports(parts, now);
    if (reports !== null) post(parentPort, reports);
    mail.flush();
    const sum = (field: keyof UdpSocketCounters): number => publicSocket.counters[field] + trunkSocket.counters[field];
    counters.set('sendErrors', sum('sendErrors'));
    counters.set('receiveCalls', sum('receiveCalls'));
    counters.set('sendCalls', sum('sendCalls'));
    counters.add('drop:oversize', sum('oversize') - oversize);
    oversize = sum('oversize');
  }, TICK_MS);
  const probing = probers.length === 0 ? null : setInterval(() => {
    const now = performance.now();
    if (now < path.nextTickAt) return;
    path.tick(now);
    path.flush();
    trunkSocket.flush();
  }, PROBE_TICK_MS);
  const listen = (message: typeof CLOSE | WorkerMail): void => {
    if (message !== CLOSE) {
      takeMail(parts, message, performance.now());
      return;
    }
    clearInterval(timer);
    if (probing !== null) clearInterval(probing);
    for (const socket of sockets) void socket.close();
    parentPort?.off('message', listen);
  };
  parentPort?.on('message', listen);
  say({ type: 'open', udp: publicSocket.address, trunk: trunkSocket.address });
}

function makeSlots(): BundleSlots {
  return {
    memory: new Uint8Array(SLOTS * MAX_DATAGRAM_BYTES),
    count: SLOTS,
    slotAt: (i) => i * MAX_DATAGRAM_BYTES,
  };
}

function say(message: DgramWorkerMessage): void {
  post(parentPort, message);
}

const opened: UdpSocket[] = [];
try {
  await run(workerData as DgramWorkerSetup, opened);
} catch (error) {
  for (const socket of opened) void socket.close();
  if (!(error instanceof NetError)) throw error;
  say({ type: 'failed', code: error.code, message: error.message });
}
