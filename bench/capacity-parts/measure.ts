import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createClient } from 'redis';
import { OpusDecoder } from '../../src/media/opus-decoder.ts';
import { OpusEncoder } from '../../src/media/opus-encoder.ts';
import { RedisStore } from '../../src/store/index.ts';
import { readWav, resample } from '../../test/support/audio.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../../test/support/earshot-process.ts';
import { PROJECT } from '../../test/support/paths.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { Caller } from '../call-parts/caller.ts';
import { cpuSeconds } from '../support/cpu.ts';

/** One figure for the data file of costs. */
export interface Measured {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const CALLS = 200;
const WARM_UP_CALLS = 20;
const TALK_SECONDS = 5;
const SETTLE_MS = 1_500;
const REDIS_ENTRIES = 100_000;
const REDIS_BATCH = 512;
const RATE = 24_000;
/** As a relay writes them: `earshot:flow:` and 22 characters, and 34 sealed bytes in base64. */
const KEY_LENGTH = 22;
const VALUE_LENGTH = 46;

/** Measures on this machine what the other benches do not: some 25 s. */
export async function measureCosts(): Promise<Measured[]> {
  return [...measureOpus(), ...(await measureRedis()), ...(await measureCalls())];
}

/** One voice through the codec, as a transcoding agent costs it: decoded at 24 kHz and encoded again. */
export function measureOpus(): Measured[] {
  const speech = resample(readWav(readFileSync(path.join(PROJECT, 'test/fixtures/audio/hello.wav'))), RATE).samples;
  const encoder = new OpusEncoder(RATE);
  const decoder = new OpusDecoder(RATE);
  const frames: Int16Array[] = [];
  for (let at = 0; at + encoder.frameSize <= speech.length; at += encoder.frameSize) {
    frames.push(Int16Array.from(speech.subarray(at, at + encoder.frameSize), (sample) => sample * 32_767));
  }
  const packets = frames.map((frame) => encoder.encode(frame).slice());
  const time = (work: () => void): number => {
    for (let i = 0; i < 3; i++) work();
    // CPU, not time: somebody else may use the core as well.
    const before = process.cpuUsage();
    for (let i = 0; i < 20; i++) work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 20 / frames.length;
  };
  return [
    { name: 'Opus, encode a frame of speech', value: time(() => { for (const frame of frames) encoder.encode(frame); }), unit: 'µs' },
    { name: 'Opus, decode a frame of speech', value: time(() => { for (const packet of packets) decoder.decode(packet); }), unit: 'µs' },
  ];
}

async function measureRedis(): Promise<Measured[]> {
  await using server = await RedisServer.start();
  const store = new RedisStore(server.url);
  const client = createClient({ url: server.url });
  await client.connect();
  const figure = async (name: string): Promise<number> => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(await client.info())?.[1]);
  const cpu = async (): Promise<number> => (await figure('used_cpu_user')) + (await figure('used_cpu_sys'));
  while (await store.read(['nothing']).then(() => false, () => true)) await pause(20);
  const [memory, seconds] = [await figure('used_memory'), await cpu()];
  for (let i = 0; i < REDIS_ENTRIES; i += REDIS_BATCH) {
    const entries = Array.from({ length: Math.min(REDIS_BATCH, REDIS_ENTRIES - i) }, (_, n) => ({
      key: `earshot:flow:${String(i + n).padStart(KEY_LENGTH, 'k')}`,
      value: 'v'.repeat(VALUE_LENGTH),
    }));
    await store.write(entries, 90_000);
  }
  const measured = [
    { name: 'Redis, memory of a flow', value: ((await figure('used_memory')) - memory) / REDIS_ENTRIES, unit: 'bytes' },
    { name: 'Redis, CPU to write a flow', value: (((await cpu()) - seconds) * 1e6) / REDIS_ENTRIES, unit: 'µs' },
  ];
  await store.close();
  client.destroy();
  return measured;
}

/** Calls through gateway, transceiver and relay: what setting one up costs each, and what an echo costs by the second. */
async function measureCalls(): Promise<Measured[]> {
  const environment = { EARSHOT_SECRET: 'the secret of the capacity bench' };
  const [relayHttp, transceiverHttp, gatewayHttp] = [await freeTcpPort(), await freeTcpPort(), await freeTcpPort()].map((port) => `127.0.0.1:${port}`);
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const folder = mkdtempSync(path.join(tmpdir(), 'earshot-capacity-'));
  const clusters = path.join(folder, 'clusters.yaml');
  writeFileSync(clusters, `clusters: [{ id: 0, name: one, latitude: 0, longitude: 0, signaling: "http://${transceiverHttp}", ingress: [{ address: "${udp}" }] }]`);
  const relay = new EarshotProcess(['relay', '--udp', udp, '--trunk', `127.0.0.1:${await freeUdpPort()}`, '--http', relayHttp, '--workers', '1', '--drain-timeout', '100ms'], environment);
  const transceiver = new EarshotProcess(
    ['transceiver', '--http', transceiverHttp, '--trunk', `127.0.0.1:${await freeUdpPort()}`, '--ingress', udp, '--agent', 'echo', '--workers', '1', '--drain-timeout', '100ms', '--log-level', 'error'],
    environment,
  );
  const gateway = new EarshotProcess(['gateway', '--http', gatewayHttp, '--clusters', clusters, '--rate-per-address', '1000000', '--drain-timeout', '0s', '--log-level', 'error'], environment);
  const processes = { relay, transceiver, gateway };
  const cpu = (): Record<keyof typeof processes, number> => ({ relay: cpuSeconds(relay.pid), transceiver: cpuSeconds(transceiver.pid), gateway: cpuSeconds(gateway.pid) });
  const callers: Caller[] = [];
  const clock = setInterval(() => { for (const caller of callers) caller.tick(performance.now()); }, 5);
  const place = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const caller = await Caller.place(`http://${gatewayHttp}/v1/realtime/calls`);
      callers.push(caller);
      await caller.connected;
    }
  };
  try {
    await Promise.all([relay.ready(`http://${relayHttp}`), transceiver.ready(`http://${transceiverHttp}`)]);
    await gateway.ready(`http://${gatewayHttp}`);
    await place(WARM_UP_CALLS);
    await pause(SETTLE_MS);
    const [before, memory] = [cpu(), residentBytes(transceiver.pid)];
    await place(CALLS);
    const placed = cpu();
    await pause(SETTLE_MS);
    const grown = residentBytes(transceiver.pid) - memory;
    await talk(callers, 1);
    const [silent, startedAt] = [cpu(), performance.now()];
    await talk(callers, TALK_SECONDS);
    const [talked, seconds] = [cpu(), (performance.now() - startedAt) / 1000];
    const setUp = (role: keyof typeof processes): number => ((placed[role] - before[role]) * 1000) / CALLS;
    const echo = (role: keyof typeof processes): number => ((talked[role] - silent[role]) * 1000) / seconds / callers.length;
    return [
      { name: 'Gateway, CPU to bring an offer to a cluster', value: setUp('gateway'), unit: 'ms' },
      { name: 'Transceiver, CPU to set a call up', value: setUp('transceiver'), unit: 'ms' },
      { name: 'Relay, CPU to set a call up', value: setUp('relay'), unit: 'ms' },
      { name: 'Transceiver, memory of a call', value: grown / CALLS / 1024, unit: 'KiB' },
      { name: 'Transceiver, CPU of an echo call by the second', value: echo('transceiver'), unit: 'ms' },
      { name: `Relay, CPU of an echo call by the second, at ${callers.length} calls`, value: echo('relay'), unit: 'ms' },
    ];
  } finally {
    clearInterval(clock);
    await Promise.all(callers.map((caller) => caller.close()));
    await Promise.all(Object.values(processes).map((each) => each.kill()));
    rmSync(folder, { recursive: true });
  }
}

/** A frame every 20 ms from each caller, spread over the 20 ms. */
async function talk(callers: readonly Caller[], seconds: number): Promise<void> {
  const startedAt = performance.now();
  for (let frame = 0; frame < seconds * 50; frame++) {
    for (let part = 0; part < 4; part++) {
      const at = startedAt + frame * 20 + part * 5;
      if (at > performance.now()) await pause(at - performance.now());
      for (let i = part; i < callers.length; i += 4) callers[i].sendFrame(performance.now());
    }
  }
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}
