import { kernelMemory, requireLibc } from '../../src/net/libc.ts';
import { ReceiveVector } from '../../src/net/message-vector.ts';
import { openRawSocket } from '../../src/net/raw-socket.ts';
import { parseAddress, type TransportAddress } from '../../src/wire/address.ts';
import { busySeconds, livingCpuSeconds } from '../support/cpu.ts';
import { percentile } from '../support/stats.ts';
import { bindingRequest } from './binding-request.ts';
import { ClientSwarm } from './client-swarm.ts';
import { type LoadResult, type LoadTask, PACKET_BYTES } from './load.ts';

/**
 * Many clients in one blocking loop: shows each one's token, then sends voice-like packets at a steady rate and times
 * what comes back. A process of its own: for each {@link LoadTask} that it is sent it answers with a {@link LoadResult}.
 *
 *   packet: 0x80, three bytes, client u32, u32, time of sending f64 (ms), padding
 */
const BATCH = 64;
const WARM_UP_MS = 150;
const DRAIN_MS = 300;
const MAX_SAMPLES = 1 << 20;
const PACED_FROM = 2000;

const libc = requireLibc();
const buffers = { receiveBuffer: 8 << 20, sendBuffer: 8 << 20 };
const { fd } = openRawSocket(libc, { address: parseAddress('0.0.0.0:0'), reusePort: false, ...buffers });
const incoming = new ReceiveVector(libc, BATCH);
const received = new DataView(incoming.memory.buffer);
const outgoing = new ClientSwarm(libc, BATCH);
const sending = new DataView(outgoing.memory.buffer);
const pollSet = kernelMemory(8);
new DataView(pollSet.buffer).setInt32(0, fd, true);
pollSet[4] = 1;
const samples = new Float64Array(MAX_SAMPLES);
let task: LoadTask;
let relay: TransportAddress;
let sampled = 0;
/** Packets sent before this do not count. */
let countFrom: number;

function receive(): number {
  let total = 0;
  let count = 0;
  do {
    count = incoming.receive(fd);
    const now = performance.now();
    for (let i = 0; i < count; i++) {
      incoming.read(i);
      const at = incoming.slotAt(i);
      if (incoming.memory[at] !== 0x80) continue;
      const sentAt = received.getFloat64(at + 12);
      if (sentAt < countFrom) continue;
      if (sampled < MAX_SAMPLES) samples[sampled++] = now - sentAt;
      total++;
    }
  } while (count === BATCH);
  return total;
}

function push(client: number, length: number): void {
  outgoing.from(client, task.network);
  outgoing.push(length, 4, relay.ip, 0, relay.port);
  if (outgoing.full) outgoing.send(fd);
}

function showTokens(ufrag: string): void {
  const request = bindingRequest(`${ufrag}:load`);
  for (let client = 0; client < task.clients; client++) {
    outgoing.memory.set(request, outgoing.slotAt(outgoing.used));
    push(client, request.length);
    // So many at once would overflow socket buffers.
    if (client % BATCH === 0 && client > PACED_FROM) {
      libc.poll(pollSet, 1, 1);
      receive();
    }
  }
  outgoing.send(fd);
}

/** Sends until `until` at the task's rate, taking what comes back; returns how many it sent and got back. */
function run(until: number): { sent: number; got: number } {
  const start = performance.now();
  let sent = 0;
  let got = 0;
  for (let now = start; now < until; now = performance.now()) {
    const due = Math.min(Math.floor(((now - start) * task.rate) / 1000) - sent, BATCH);
    for (let i = 0; i < due; i++) {
      const at = outgoing.slotAt(outgoing.used);
      outgoing.memory[at] = 0x80;
      sending.setUint32(at + 4, sent);
      sending.setFloat64(at + 12, now);
      push(sent++ % task.clients, PACKET_BYTES);
    }
    if (outgoing.used > 0) outgoing.send(fd);
    got += receive();
    if (due < BATCH) libc.poll(pollSet, 1, 1);
  }
  return { sent, got };
}

function measure(): LoadResult {
  countFrom = Number.POSITIVE_INFINITY;
  sampled = 0;
  if (task.ufrag !== null) showTokens(task.ufrag);
  run(performance.now() + WARM_UP_MS);
  const relayCpu = (): number => (task.relayPid === null ? Number.NaN : livingCpuSeconds(task.relayPid));
  const [relayBefore, machineBefore] = [relayCpu(), busySeconds()];
  const start = performance.now();
  countFrom = start;
  const { sent, got: gotMeanwhile } = run(start + task.seconds * 1000);
  let got = gotMeanwhile;
  const elapsed = performance.now() - start;
  for (const until = performance.now() + DRAIN_MS; got < sent && performance.now() < until; ) {
    libc.poll(pollSet, 1, 10);
    got += receive();
  }
  const sorted = samples.subarray(0, sampled).sort();
  const micros = (p: number): number => percentile(sorted, p) * 1000;
  return {
    sent,
    received: got,
    rate: (sent / elapsed) * 1000,
    relayCpu: relayCpu() - relayBefore,
    machineCpu: busySeconds() - machineBefore,
    p50: micros(50),
    p99: micros(99),
    p999: micros(99.9),
  };
}

process.on('message', (message: LoadTask) => {
  task = message;
  relay = parseAddress(task.relay);
  process.send?.(measure());
});
process.once('disconnect', () => process.exit());
process.send?.('ready');
