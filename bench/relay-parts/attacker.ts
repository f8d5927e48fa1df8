import { randomBytes } from 'node:crypto';
import { requireLibc } from '../../src/net/libc.ts';
import { ReceiveVector } from '../../src/net/message-vector.ts';
import { openRawSocket } from '../../src/net/raw-socket.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { TrunkCookies, TrunkEntry, writeTrunkHeader } from '../../src/wire/trunk.ts';
import { ATTACKER_NETWORK, type AttackResult, type AttackTask } from './attack.ts';
import { bindingRequest } from './binding-request.ts';
import { ClientSwarm } from './client-swarm.ts';

/**
 * Everything that is no call, from up to eight million addresses: a process of its own, for one task given as JSON,
 * that sends its parent an {@link AttackResult}.
 */
const BATCH = 64;
const VARIANTS = 256;
/** Clients of a swarm in each of its networks. */
const PER_NETWORK = 255 * 255;

const task = JSON.parse(process.argv[2]) as AttackTask;
const relay = parseAddress(task.relay);
const trunk = parseAddress(task.trunk);
const libc = requireLibc();
const buffers = { receiveBuffer: 8 << 20, sendBuffer: 8 << 20 };
const { fd } = openRawSocket(libc, { address: parseAddress('0.0.0.0:0'), reusePort: false, ...buffers });
const incoming = new ReceiveVector(libc, BATCH);
const outgoing = new ClientSwarm(libc, BATCH);
const forger = new RoutingKeys('a secret that the attacker guessed');
const guessed = new TrunkCookies('a secret that the attacker guessed');

interface Kind {
  readonly name: string;
  readonly to: typeof relay;
  /** The first of the addresses that it comes from, and how many. */
  readonly first?: number;
  readonly sources: number;
  readonly packets: readonly Uint8Array[];
}

const variants = (make: (i: number) => Uint8Array): Uint8Array[] => Array.from({ length: VARIANTS }, (_, i) => make(i));
const seen = bindingRequest(`${task.seenUfrag}:seen`);
const KINDS: readonly Kind[] = [
  { name: 'random bytes', to: relay, sources: PER_NETWORK, packets: variants((i) => randomBytes(1 + i * 5)) },
  { name: 'voice of nobody', to: relay, sources: PER_NETWORK, packets: variants(() => Buffer.concat([Buffer.from([0x80, 111]), randomBytes(158)])) },
  { name: 'forged tokens', to: relay, sources: PER_NETWORK, packets: variants((i) => bindingRequest(`${forgedUfrag(i)}:x`)) },
  { name: 'tokens of an old secret', to: relay, sources: PER_NETWORK, packets: variants(() => bindingRequest(`${task.oldUfrag}:x`)) },
  { name: 'malformed STUN', to: relay, sources: PER_NETWORK, packets: variants(malformed) },
  // Each from an address of its own, the flood of the flow table; and of nothing else: what follows on a flow is forwarded.
  { name: 'a seen token, replayed', to: relay, first: PER_NETWORK, sources: 100 * PER_NETWORK, packets: [seen] },
  { name: 'spoofed trunk', to: trunk, sources: PER_NETWORK, packets: variants(spoofedTrunk) },
];

function forgedUfrag(i: number): string {
  return forger.encodeUfrag({ cluster: 0, locator: { kind: 0, address: parseAddress('127.0.0.1:9') }, nonce: i });
}

/** Cut short, lengths that lie, a wrong cookie, flipped bytes: every variant of a good check but for what is one. */
function malformed(i: number): Uint8Array {
  const packet = Buffer.from(seen);
  if (i % 4 === 0) return packet.subarray(0, 1 + ((i >> 2) % (packet.length - 1)));
  if (i % 4 === 1) packet.writeUInt16BE(packet.readUInt16BE(2) + 1 + (i >> 2), 2);
  if (i % 4 === 2) packet.writeUInt16BE(0xffff - i, 22);
  if (i % 4 === 3) packet.writeUInt32BE(i, 4);
  return packet;
}

function spoofedTrunk(i: number): Uint8Array {
  const data = new Uint8Array(200);
  const start = writeTrunkHeader(data, 0, true, i, guessed);
  const payload = randomBytes(20);
  const entry = Object.assign(new TrunkEntry(), parseAddress('127.200.0.1:9'), { verified: true, payload, payloadLength: 20 });
  const whole = data.subarray(0, entry.write(data, start));
  return i % 4 === 0 ? whole.subarray(0, 1 + (i % whole.length)) : whole;
}

function attack(): AttackResult {
  const sent = KINDS.map(() => 0);
  const start = performance.now();
  let total = 0;
  let answers = 0;
  for (let now = start; now < start + task.seconds * 1000; now = performance.now()) {
    const due = Math.min(Math.floor(((now - start) * task.rate) / 1000) - total, BATCH);
    for (let n = 0; n < due; n++, total++) {
      const k = total % KINDS.length;
      const { to, first = 0, sources, packets } = KINDS[k];
      const packet = packets[sent[k] % packets.length];
      outgoing.memory.set(packet, outgoing.slotAt(outgoing.used));
      outgoing.from((ATTACKER_NETWORK - 1) * PER_NETWORK + first + (sent[k]++ % sources));
      outgoing.push(packet.length, 4, to.ip, 0, to.port);
    }
    if (outgoing.used > 0) outgoing.send(fd);
    answers += incoming.receive(fd);
  }
  for (const until = performance.now() + 300; performance.now() < until; ) answers += incoming.receive(fd);
  return { sent: Object.fromEntries(KINDS.map(({ name }, k) => [name, sent[k]])), answers };
}

process.send?.(attack());
process.disconnect();
