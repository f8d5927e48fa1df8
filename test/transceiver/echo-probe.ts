/**
 * A process that puts packets of one caller through an echo call, one by one, and says how many bytes of heap that took
 * per packet: those allocated (nothing is collected meanwhile, see the flags that the test gives), and those kept.
 * Node's flags: --expose-gc and a young generation that holds all of it.
 */
import { randomFillSync } from 'node:crypto';
import { loadAgent } from '../../src/agents/index.ts';
import { createLogger } from '../../src/observe/log.ts';
import { answerOffer } from '../../src/transceiver/answer.ts';
import { Call, type CallHost } from '../../src/transceiver/call.ts';
import { DatagramScratch } from '../../src/transceiver/datagram-scratch.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, type Session } from '../../src/webrtc/index.ts';
import { parseAddress } from '../../src/wire/address.ts';

const WARM_PACKETS = 20_000;
const PACKETS = 20_000;
const SLOT = 256;
/** Between packets: so short that all of them come within one consent (RFC 7675), and reports are rare. */
const STEP_MS = 0.5;
const CLIENT = parseAddress('192.0.2.1:40000');
const SERVER = parseAddress('198.51.100.1:3478');

const { ciphers } = loadSrtpCiphers();
const certificate = await DtlsCertificate.generate();
const answers: Uint8Array[] = [];
let connecting = true;
let echoed = 0;
let wakesAt = Infinity;
let now = 0;
const host: CallHost = {
  get now() {
    return now;
  },
  transmit(data) {
    if (connecting) answers.push(data.slice());
    else if (data[1] < 192) echoed++;
  },
  connected: () => undefined,
  hurry: () => undefined,
  touched: () => undefined,
  pace: () => undefined,
  wakeAt: (_call, at) => (wakesAt = at),
  ended: () => undefined,
};
const { call, caller } = await connect();
connecting = false;

talk(WARM_PACKETS);
echoed = 0;
const frames = record(PACKETS);
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
play(frames, PACKETS);
const allocated = process.memoryUsage().heapUsed - before;
globalThis.gc?.();
const kept = process.memoryUsage().heapUsed - before;
console.log(JSON.stringify({ echoed, ciphers: ciphers.name, allocated: allocated / PACKETS, kept: kept / PACKETS }));

async function connect(): Promise<{ call: Call; caller: Session }> {
  const offerer = new Offerer({ certificate, audio: true, data: false, ciphers, random: randomFillSync, ntpEpochOffset: 0 });
  const ufrag = 'probe';
  const answerer = answerOffer({ offer: offerer.offer, ufrag, certificate, candidates: [SERVER], ciphers, now });
  const call = new Call({
    id: 'rtc_probe',
    ufrag,
    answerer,
    sessionConfig: { type: 'realtime' },
    ingress: [SERVER],
    agent: await loadAgent('echo', { settings: {} }),
    host,
    log: createLogger({ level: 'error' }),
    now,
    eventsChannelId: null,
    maxDurationMs: Number.POSITIVE_INFINITY,
  });
  const caller = offerer.accept(answerer.answer, now);
  for (let isUp = false; !isUp; now += STEP_MS) {
    for (let output = caller.poll(); output.type !== 'timeout'; output = caller.poll()) {
      if (output.type === 'transmit') receive(call, output.data.slice());
      isUp ||= output.type === 'connected';
    }
    for (const data of answers.splice(0)) caller.handleDatagram(data, SERVER, now);
    caller.handleTimeout(now);
  }
  return { call, caller };
}

function receive(to: Call, data: Uint8Array): void {
  to.handleDatagram(data, CLIENT, now);
  to.drain(now);
}

function talk(packets: number): void {
  for (let done = 0; done < packets; done += 1000) play(record(1000), 1000);
}

/** What the caller sends: each packet behind its length in a slot. */
function record(packets: number): Uint8Array {
  const frames = new Uint8Array(packets * SLOT);
  const payload = new Uint8Array(80).fill(0xf8, 0, 1);
  for (let i = 0; i < packets; i++) {
    caller.sendAudio(payload, i * 960, false, now);
    for (let output = caller.poll(); output.type !== 'timeout'; output = caller.poll()) {
      if (output.type !== 'transmit' || output.data[1] >= 192) continue;
      frames[i * SLOT] = output.data.length;
      frames.set(output.data, i * SLOT + 1);
    }
  }
  return frames;
}

function play(frames: Uint8Array, packets: number): void {
  const scratch = new DatagramScratch();
  for (let i = 0; i < packets; i++) {
    now += STEP_MS;
    receive(call, scratch.copy(frames, i * SLOT + 1, frames[i * SLOT]));
    if (now < wakesAt) continue;
    wakesAt = Infinity;
    call.handleTimeout(now);
  }
}
