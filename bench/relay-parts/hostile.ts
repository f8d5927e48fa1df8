import { once } from 'node:events';
import type { DropReason } from '../../src/relay/drop-reason.ts';
import { type BenchArguments, finish, goal, printTable } from '../support/report.ts';
import { ATTACKER_NETWORK, type AttackResult, type AttackTask } from './attack.ts';
import { type LoadResult, lossPercent } from './load.ts';
import { Generator, type Part, runPart, startPart, startRelayProcess, SECRET, ufragFor } from './processes.ts';
import type { RelayState } from './relay-process.ts';

/** As many live calls as send 10,000 packets a second. */
const CALLS = 200;
const CALL_RATE = 10_000;
const SEARCH_FROM = 30_000;
const MAX_LOSS = 0.001;

/**
 * Live calls go on through a relay while another process sends it everything that is no call, at half of the rate that
 * the relay carries at most. The transceiver's stand-in answers honest clients only, as one that authenticates.
 */
export async function hostile(args: BenchArguments): Promise<void> {
  const transceiver = await startPart('echo-transceiver', SECRET, String(ATTACKER_NETWORK));
  const relay = await startRelayProcess({});
  const generator = await Generator.start();
  try {
    const ufrag = ufragFor(transceiver.address);
    const load = (clients: number, rate: number, seconds: number): Promise<LoadResult> =>
      generator.run({ relay: relay.address, relayPid: relay.process.pid ?? 0, ufrag, clients, rate, seconds });
    const maximum = await findMaximum((rate) => load(CALLS, rate, 0.5));
    const seconds = args.quick ? 5 : 20;
    const before = await stateOf(relay);
    const task: AttackTask = {
      relay: relay.address,
      trunk: before.trunk[0],
      seenUfrag: ufrag,
      oldUfrag: ufragFor(transceiver.address, 'a secret of before the last rotation'),
      rate: Math.round(maximum / 2),
      seconds: seconds + 2,
    };
    // The flood begins first and ends last: all that is measured of the calls is measured under it.
    const attack = runPart<AttackResult>('attacker', JSON.stringify(task));
    const calls = await load(CALLS, CALL_RATE, seconds);
    const { sent, answers } = await attack;
    const after = await stateOf(relay);
    report({ maximum, calls, sent, answers, before, after, seconds: task.seconds }, args);
  } finally {
    generator.close();
    for (const { process: child } of [transceiver, relay]) child.kill();
  }
}

interface Figures {
  readonly maximum: number;
  readonly calls: LoadResult;
  readonly sent: AttackResult['sent'];
  readonly answers: number;
  readonly before: RelayState;
  readonly after: RelayState;
  readonly seconds: number;
}

function report({ maximum, calls, sent, answers, before, after, seconds }: Figures, args: BenchArguments): void {
  const grown = (key: keyof RelayState['counters']): number => after.counters[key] - before.counters[key];
  const drops = (Object.keys(after.counters) as (keyof RelayState['counters'])[])
    .filter((key) => key.startsWith('drop:') && grown(key) > 0)
    .map((key) => [key.slice('drop:'.length) as DropReason, grown(key)] as const);
  const total = Object.values(sent).reduce((sum, count) => sum + count);
  printTable([['hostile', 'datagrams'], ...Object.entries(sent).map(([name, count]) => [name, String(count)])]);
  console.log('');
  printTable([['dropped as', 'packets'], ...drops.map(([reason, count]) => [reason, String(count)])]);
  console.log('');
  // What honest clients sent is at most what came back of it and what was lost; the rest is what the attacker got through.
  const replayed = sent['a seen token, replayed'];
  const back = after.counters.clientSent - before.counters.clientSent;
  const forged = Math.max(0, grown('forwarded') - back - replayed - (calls.sent - calls.received));
  console.log(`${total} hostile datagrams, ${Math.round(total / seconds)}/s, at ${Math.round(maximum)} round trips/s at most; ${grown('flowsRouted')} flows made, by replays and calls`);
  console.log(`${CALLS} calls at ${CALL_RATE} packets/s: ${calls.sent - calls.received} of ${calls.sent} lost; p50 ${calls.p50.toFixed(0)} µs, p99 ${calls.p99.toFixed(0)} µs`);
  const results = { maximum, hostilePerSecond: total / seconds, sent, drops: Object.fromEntries(drops), calls, answers, forged };
  finish('relay-hostile', results, [
    goal('Packets of live calls lost', lossPercent(calls), '%', 0.1, 'at most'),
    goal('Forged packets forwarded', forged, '', 0, 'at most'),
    goal('Datagrams sent to a source that is not verified', answers, '', 0, 'at most'),
  ], args);
}

/** The highest rate of round trips that the relay carries in full. */
async function findMaximum(load: (rate: number) => Promise<LoadResult>): Promise<number> {
  let best = SEARCH_FROM;
  for (let rate = SEARCH_FROM; ; rate *= 1.4) {
    const { sent, received, rate: reached } = await load(rate);
    if (sent - received > sent * MAX_LOSS || reached < best * 0.95) return best;
    best = Math.max(best, reached);
    if (reached < rate * 0.9) return best;
  }
}

async function stateOf(relay: Part): Promise<RelayState> {
  const answer = once(relay.process, 'message');
  relay.process.send('state');
  const [state] = (await answer) as [RelayState];
  return state;
}
