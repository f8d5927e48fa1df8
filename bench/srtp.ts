/**
 * CPU time per 160-byte RTP packet, protect and unprotect, for both cipher implementations and both profiles.
 * Runs are interleaved, so that a busy machine disturbs all of them alike; figures are medians with min and max.
 *
 *   node dist/bench/srtp.js [--quick]
 */
import { cpus } from 'node:os';
import type { SrtpCiphers } from '../src/webrtc/srtp/ciphers.ts';
import { loadSrtpCiphers } from '../src/webrtc/srtp/load-ciphers.ts';
import { nodeCryptoCiphers } from '../src/webrtc/srtp/node-crypto.ts';
import { SrtpReceiver } from '../src/webrtc/srtp/srtp-receiver.ts';
import { SRTP_MAX_OVERHEAD, SrtpSender } from '../src/webrtc/srtp/srtp-sender.ts';
import { SRTP_PROFILES, type SrtpProfile } from '../src/webrtc/srtp-profile.ts';

const PACKET_LENGTH = 160;
const SLOT_LENGTH = PACKET_LENGTH + SRTP_MAX_OVERHEAD;
const quick = process.argv.includes('--quick');
const rounds = quick ? 7 : 21;
const packets = quick ? 10_000 : 40_000;

interface Figure {
  readonly ciphers: string;
  readonly profile: SrtpProfile;
  readonly protect: number[];
  readonly unprotect: number[];
}

const { ciphers: fastest, fallbackReason } = loadSrtpCiphers();
if (fallbackReason) console.log(fallbackReason);
const candidates = fastest === nodeCryptoCiphers ? [fastest] : [fastest, nodeCryptoCiphers];
const runs = candidates.flatMap((ciphers) =>
  (Object.keys(SRTP_PROFILES) as SrtpProfile[]).map((profile) => ({
    ciphers,
    figure: { ciphers: ciphers.name, profile, protect: [], unprotect: [] } satisfies Figure as Figure,
  })),
);
const memory = new Uint8Array(packets * SLOT_LENGTH);
const slots = Array.from({ length: packets }, (_, i) => memory.subarray(i * SLOT_LENGTH, (i + 1) * SLOT_LENGTH));
// The first round warms up and is not counted.
for (let round = 0; round <= rounds; round++) {
  for (const { ciphers, figure } of runs) {
    const [protect, unprotect] = measure(ciphers, figure.profile);
    if (round === 0) continue;
    figure.protect.push(protect);
    figure.unprotect.push(unprotect);
  }
}

console.log('µs of CPU per 160-byte packet, median (min–max)\n');
console.log('ciphers      profile                  protect               unprotect');
const results = runs.map(({ figure }) => {
  const protect = summary(figure.protect);
  const unprotect = summary(figure.unprotect);
  const columns = [figure.ciphers.padEnd(12), figure.profile.padEnd(24), text(protect).padEnd(21), text(unprotect)];
  console.log(columns.join(' '));
  return { ciphers: figure.ciphers, profile: figure.profile, protect, unprotect };
});
const machine = `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores, node ${process.version}`;
console.log(JSON.stringify({ bench: 'srtp', when: new Date().toISOString(), machine, results, goals: [] }));

function measure(ciphers: SrtpCiphers, profile: SrtpProfile): [number, number] {
  const { keyLength, saltLength } = SRTP_PROFILES[profile];
  const keys = { profile, masterKey: new Uint8Array(keyLength), masterSalt: new Uint8Array(saltLength) };
  const sender = new SrtpSender(keys, ciphers);
  const receiver = new SrtpReceiver(keys, ciphers);
  slots.forEach((slot, i) => slot.fill(0).set([0x80, 111, i >> 8, i]));
  let length = 0;
  const protect = cpuTime(() => {
    for (const slot of slots) length = sender.protectRtp(slot, PACKET_LENGTH);
  });
  let plain = 0;
  const unprotect = cpuTime(() => {
    for (const slot of slots) plain += receiver.unprotectRtp(slot, length);
  });
  if (plain !== packets * PACKET_LENGTH) throw new Error('packets were refused');
  sender.close();
  receiver.close();
  return [protect, unprotect];
}

/** µs per packet. */
function cpuTime(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / packets;
}

function summary(values: number[]): { median: number; min: number; max: number } {
  const sorted = values.toSorted((a, b) => a - b);
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  return { median: round(sorted[sorted.length >> 1]), min: round(sorted[0]), max: round(sorted.at(-1)!) };
}

function text({ median, min, max }: ReturnType<typeof summary>): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;
}
