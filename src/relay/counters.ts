import { DROP_REASON_LIST, type DropReason } from './drop-reason.ts';

/** One series of the relay's metrics: a name, perhaps labels, and the key of its value in {@link RelayCounters}. */
export interface RelayCounter {
  readonly key: RelayCounterKey;
  /** Without prefix and `_total`: those are the exposition's. */
  readonly name: string;
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
}

const FLOWS_LEARNED =
  'Flows learned, by the way: a routing token, a transceiver (way_back), a relay elsewhere, the recovery cache (Redis), or the relay before (handover)';

const TICKETS_ROUTED =
  'Times that a transceiver was chosen for an unbound ticket: by the hash, or when one handed it back, the next (hand_back) or the one that it named (name)';

const PLAIN = {
  clientReceived: { name: 'client_packets', help: 'Packets between clients and the public port', labels: { direction: 'in' } },
  clientSent: { name: 'client_packets', help: 'Packets between clients and the public port', labels: { direction: 'out' } },
  clientReceivedBytes: { name: 'client_bytes', help: 'Bytes of UDP payload of the client packets', labels: { direction: 'in' } },
  clientSentBytes: { name: 'client_bytes', help: 'Bytes of UDP payload of the client packets', labels: { direction: 'out' } },
  trunkReceived: { name: 'trunk_datagrams', help: 'Trunk datagrams; each carries one or more packets', labels: { direction: 'in' } },
  trunkSent: { name: 'trunk_datagrams', help: 'Trunk datagrams; each carries one or more packets', labels: { direction: 'out' } },
  trunkReceivedBytes: { name: 'trunk_bytes', help: 'Bytes of UDP payload of the trunk datagrams', labels: { direction: 'in' } },
  trunkSentBytes: { name: 'trunk_bytes', help: 'Bytes of UDP payload of the trunk datagrams', labels: { direction: 'out' } },
  trunkLost: { name: 'trunk_lost', help: 'Trunk datagrams that never came or came late, by the gaps in the sequence numbers of their senders', labels: {} },
  forwarded: { name: 'forwarded', help: 'Packets passed on, by where to', labels: { to: 'transceiver' } },
  forwardedToCluster: { name: 'forwarded', help: 'Packets passed on, by where to', labels: { to: 'cluster' } },
  returned: { name: 'forwarded', help: 'Packets passed on, by where to', labels: { to: 'client' } },
  returnedVia: { name: 'forwarded', help: 'Packets passed on, by where to', labels: { to: 'relay' } },
  relayedReceived: { name: 'relayed_packets', help: 'Packets of clients that came through a relay of another place', labels: {} },
  probesAnswered: { name: 'probes_answered', help: 'Probes of relays of other places that were answered', labels: {} },
  tokensDecoded: { name: 'tokens_decoded', help: 'Routing tokens that had to be decrypted', labels: {} },
  ticketsChosen: { name: 'tickets_routed', help: TICKETS_ROUTED, labels: { by: 'hash' } },
  ticketsPassedOn: { name: 'tickets_routed', help: TICKETS_ROUTED, labels: { by: 'hand_back' } },
  ticketsNamed: { name: 'tickets_routed', help: TICKETS_ROUTED, labels: { by: 'name' } },
  flowsRouted: { name: 'flows_learned', help: FLOWS_LEARNED, labels: { from: 'token' } },
  flowsReturned: { name: 'flows_learned', help: FLOWS_LEARNED, labels: { from: 'way_back' } },
  flowsHinted: { name: 'flows_learned', help: FLOWS_LEARNED, labels: { from: 'relay' } },
  flowsRecovered: { name: 'flows_learned', help: FLOWS_LEARNED, labels: { from: 'recovery' } },
  flowsHandedOver: { name: 'flows_learned', help: FLOWS_LEARNED, labels: { from: 'handover' } },
  flowsMoved: { name: 'flows_moved', help: 'Flows that went over to another transceiver', labels: {} },
  flowsExpired: { name: 'flows_forgotten', help: 'Flows forgotten, by why', labels: { why: 'idle' } },
  flowsEvicted: { name: 'flows_forgotten', help: 'Flows forgotten, by why', labels: { why: 'full' } },
  loops: { name: 'loops', help: 'Rounds of the packet loop that had something to do', labels: {} },
  loopSeconds: { name: 'loop_seconds', help: 'Time from waking up to having passed on what was waiting, summed over the rounds', labels: {} },
  slowLoops: { name: 'slow_loops', help: 'Rounds of the packet loop that took longer than 5 ms', labels: {} },
  gatherings: { name: 'gatherings', help: 'Sleeps of a worker under load, in which packets gather', labels: {} },
  gatheringSeconds: { name: 'gathering_seconds', help: 'Time that workers slept under load for packets to gather', labels: {} },
  sendErrors: { name: 'send_errors', help: 'Datagrams that the kernel refused to send', labels: {} },
  receiveCalls: { name: 'system_calls', help: 'System calls on the packet path', labels: { call: 'receive' } },
  sendCalls: { name: 'system_calls', help: 'System calls on the packet path', labels: { call: 'send' } },
} as const satisfies Record<string, Omit<RelayCounter, 'key'>>;

export type RelayCounterKey = keyof typeof PLAIN | `drop:${DropReason}`;

/** A value for every series; all only ever grow. */
export type RelayCounters = Record<RelayCounterKey, number>;

/** Every counter of the relay, for a loop that exposes them. */
export const RELAY_COUNTERS: readonly RelayCounter[] = [
  ...Object.entries(PLAIN).map(([key, value]) => ({ key: key as RelayCounterKey, ...value })),
  ...DROP_REASON_LIST.map((reason) => ({
    key: `drop:${reason}` as const,
    name: 'dropped',
    help: 'Packets dropped, by reason',
    labels: { reason },
  })),
];

const INDEX = Object.fromEntries(RELAY_COUNTERS.map(({ key }, i) => [key, i])) as Record<RelayCounterKey, number>;

/** Where a counter is in every block. */
export type CounterIndex = number & { readonly counter: unique symbol };

/** Looked up once: by its key, a counter costs more than what it counts. */
export function counterIndex(key: RelayCounterKey): CounterIndex {
  return INDEX[key] as CounterIndex;
}

/** Gauges are kept behind the counters. */
const FLOWS_INDEX = RELAY_COUNTERS.length;
const GATHERING_INDEX = FLOWS_INDEX + 1;
const VALUES = GATHERING_INDEX + 1;

/** Bytes of memory that one worker's counters take. */
export const COUNTER_BYTES = 8 * VALUES;

/** One worker's counters in memory that the main thread reads at any time: one writer, values of eight bytes each. */
export class CounterBlock {
  readonly #values: Float64Array;

  constructor(memory: SharedArrayBuffer, offset: number) {
    this.#values = new Float64Array(memory, offset, VALUES);
  }

  add(key: RelayCounterKey, amount: number): void {
    this.#values[INDEX[key]] += amount;
  }

  /** As `add`, for what is counted with every packet. */
  addAt(index: CounterIndex, amount: number): void {
    this.#values[index] += amount;
  }

  set(key: RelayCounterKey, value: number): void {
    this.#values[INDEX[key]] = value;
  }

  get(key: RelayCounterKey): number {
    return this.#values[INDEX[key]];
  }

  drop(reason: DropReason): void {
    this.#values[DROP_INDEX[reason]]++;
  }

  /** Flows remembered now. */
  get flows(): number {
    return this.#values[FLOWS_INDEX];
  }

  set flows(count: number) {
    this.#values[FLOWS_INDEX] = count;
  }

  /** Whether the worker lets packets gather now. */
  get gathering(): boolean {
    return this.#values[GATHERING_INDEX] > 0;
  }

  set gathering(active: boolean) {
    this.#values[GATHERING_INDEX] = active ? 1 : 0;
  }

  snapshot(): RelayCounters {
    return Object.fromEntries(RELAY_COUNTERS.map(({ key }, i) => [key, this.#values[i]])) as RelayCounters;
  }
}

/** Spares the hot path the joining of a key. */
const DROP_INDEX = Object.fromEntries(
  DROP_REASON_LIST.map((reason) => [reason, INDEX[`drop:${reason}`]]),
) as Record<DropReason, number>;

/** The sum of several workers' counters. */
export function sumCounters(all: readonly RelayCounters[]): RelayCounters {
  return Object.fromEntries(
    RELAY_COUNTERS.map(({ key }) => [key, all.reduce((sum, counters) => sum + counters[key], 0)]),
  ) as RelayCounters;
}
