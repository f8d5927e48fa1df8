import { ASSUMED, MEASURED, REGIONS } from './capacity-parts/costs.ts';
import { costOfCall, type Demand, demandOf } from './capacity-parts/model.ts';
import { measureCosts } from './capacity-parts/measure.ts';
import { type Incident, type Outcome, type Scenario, simulate } from './capacity-parts/simulation.ts';
import { commandLine } from './support/arguments.ts';
import { finish, type Goal, goal, printTable } from './support/report.ts';

/**
 * How many relays, transceivers and the rest so many calls at once need, and whether a fleet of that size behaves: a normal
 * peak, a region with more callers than planned, a region lost, a rolling update, all at the peak. Nothing is measured
 * here but with `--measure`: the figures that it computes from are in capacity-parts/costs.ts, each with its command.
 *
 *   npm run capacity -- [--calls 10000,1000000] [--minutes 5] [--seed 1] [--quick] [--out FILE]
 *   npm run capacity -- --measure        the costs that no other bench measures, on this machine
 */
const TARGETS = '10000,1000000,10000000';
/** A larger fleet is simulated in parts: this many calls at once. Chance weighs more in the part than in the whole. */
const SIMULATED_CALLS = 10_000;
const WARM_UP_SECONDS = 1_200;
const SECONDS = 3_000;
const INCIDENT_SECONDS = 1_500;
const DRAIN_SECONDS = 600;
const POD_START_SECONDS = 20;
const SURGE = 0.5;
const REDIAL_SECONDS = 10;
/** What one region gets more of than it was planned for. */
const OVERLOAD = 1.6;
const LARGEST = REGIONS.reduce((a, b) => (b.share > a.share ? b : a)).name;

interface SimulatedCase {
  readonly fleet: number;
  readonly name: string;
  readonly outcome: Outcome;
  /** Calls cut off, of all that were placed. */
  readonly cutShare: number;
  readonly blockedShare: number;
}

async function main(): Promise<void> {
  const values = commandLine({
    quick: { type: 'boolean', default: false },
    measure: { type: 'boolean', default: false },
    out: { type: 'string' },
    calls: { type: 'string', default: TARGETS },
    minutes: { type: 'string', default: String(ASSUMED.callMinutes) },
    seed: { type: 'string', default: '1' },
  });
  const args = { quick: values.quick, out: values.out ?? null };
  if (values.measure) {
    const costs = await measureCosts();
    printTable([['cost', 'value', 'unit'], ...costs.map(({ name, value, unit }) => [name, value.toPrecision(3), unit])]);
    finish('capacity-costs', costs, [], args);
    return;
  }
  const callMinutes = positive('--minutes', values.minutes);
  const seed = positive('--seed', values.seed);
  const inputs = { measured: MEASURED, assumed: { ...ASSUMED, callMinutes }, regions: REGIONS };
  const cost = costOfCall(inputs);
  console.log(
    `A call: ${cost.packetsPerSecond} packets/s through a relay, ${percent(cost.relayCores)} of a relay core, ` +
      `${percent(cost.transceiverCores)} of a transceiver core, ${(cost.publicBits / 1000).toFixed(0)} kbit/s each way.\n` +
      `A core at the utilisation aimed at: ${cost.callsPerRelayCore} calls of a relay, ${cost.callsPerTransceiverCore} of a transceiver.\n`,
  );
  const demands = values.calls.split(',').map((text) => demandOf(positive('--calls', text), inputs));
  printDemands(demands);
  const fleets = values.quick ? demands.slice(0, 1) : demands.slice(0, 2);
  const cases = fleets.flatMap((demand) => simulateFleet(demand, { callMinutes, callsPerPod: cost.callsPerPod, seed }));
  printCases(cases);
  finish('capacity', { cost, demands, cases }, goals(cases), args);
}

function printDemands(demands: readonly Demand[]): void {
  const rows = demands.map((demand) => [
    demand.calls.toLocaleString('en'),
    count(demand.weeklyUsers),
    count(demand.setUpsPerSecond),
    count(demand.total.relayPods),
    count(demand.total.transceiverPods),
    count(demand.total.gatewayPods),
    count(demand.total.redisNodes),
    demand.total.redisGiB.toFixed(demand.total.redisGiB < 10 ? 2 : 0),
    count(demand.total.cores),
    count(demand.total.memoryGiB),
    demand.total.publicGbits.toFixed(demand.total.publicGbits < 10 ? 2 : 0),
  ]);
  printTable([
    ['calls at once', 'weekly users', 'set-ups/s', 'relays', 'transceivers', 'gateways', 'Redis', 'GiB in it', 'cores', 'memory GiB', 'Gbit/s each way'],
    ...rows,
  ]);
  const [largest] = demands.slice(-1);
  console.log(`\nBy region, at ${largest.calls.toLocaleString('en')} calls:`);
  printTable([
    ['region', 'calls', 'room for', 'relays', 'transceivers', 'gateways', 'Redis', 'writes/s', 'Gbit/s each way', 'trunk Gbit/s'],
    ...largest.regions.map((region) => [
      region.name,
      count(region.calls),
      count(region.capacity),
      count(region.relayPods),
      count(region.transceiverPods),
      count(region.gatewayPods),
      count(region.redisNodes),
      count(region.redisWritesPerSecond),
      region.publicGbits.toFixed(1),
      region.trunkGbits.toFixed(1),
    ]),
  ]);
  const perMillion = costDrivers(largest);
  console.log(
    `\nWhat a million minutes of calls cost at the peak of it: ${perMillion.coreHours.toFixed(0)} core hours, ` +
      `${perMillion.gigabytesOut.toFixed(0)} GB to callers, ${perMillion.gigabytesTrunk.toFixed(0)} GB over the trunk each way.\n`,
  );
}

/** What money is spent on, by a million minutes of calls. A fleet that does not shrink at night costs the peak-to-mean ratio more. */
function costDrivers({ calls, total }: Demand): { coreHours: number; gigabytesOut: number; gigabytesTrunk: number } {
  const seconds = 60e6 / calls;
  return { coreHours: (total.cores * seconds) / 3600, gigabytesOut: (total.publicGbits * seconds) / 8, gigabytesTrunk: (total.trunkGbits * seconds) / 8 };
}

function simulateFleet(demand: Demand, { callMinutes, callsPerPod, seed }: { callMinutes: number; callsPerPod: number; seed: number }): SimulatedCase[] {
  const part = Math.min(1, SIMULATED_CALLS / demand.calls);
  const regions = REGIONS.map(({ name, place, share }, i) => ({
    name,
    place,
    share,
    pods: Math.max(2, Math.round(demand.regions[i].transceiverPods * part)),
    callsPerPod,
  }));
  const base: Scenario = {
    seed,
    regions,
    arrivalsPerSecond: demand.setUpsPerSecond * part,
    meanCallSeconds: callMinutes * 60,
    lengthSigma: ASSUMED.lengthSigma,
    warmUpSeconds: WARM_UP_SECONDS,
    seconds: SECONDS,
    probeSeconds: 1,
    redialSeconds: REDIAL_SECONDS,
    incidents: [],
  };
  const roll: Incident = { at: INCIDENT_SECONDS, kind: 'roll', region: LARGEST, surge: SURGE, startSeconds: POD_START_SECONDS, drainSeconds: DRAIN_SECONDS };
  const scenarios: readonly (readonly [string, Scenario])[] = [
    ['peak as planned', base],
    [`${OVERLOAD} × the callers of ${LARGEST}`, overloaded(base)],
    [`${LARGEST} lost`, { ...base, incidents: [{ at: INCIDENT_SECONDS, kind: 'lose', region: LARGEST }] }],
    [`${LARGEST} updated`, { ...base, incidents: [roll] }],
  ];
  return scenarios.map(([name, scenario]) => {
    const outcome = simulate(scenario);
    const asked = outcome.arrivals + outcome.redials;
    return { fleet: demand.calls, name, outcome, cutShare: outcome.cut / outcome.placed, blockedShare: outcome.blocked / asked };
  });
}

function overloaded(base: Scenario): Scenario {
  const more = (OVERLOAD - 1) * (base.regions.find(({ name }) => name === LARGEST)?.share ?? 0);
  const regions = base.regions.map((region) => ({ ...region, share: (region.name === LARGEST ? OVERLOAD * region.share : region.share) / (1 + more) }));
  return { ...base, regions, arrivalsPerSecond: base.arrivalsPerSecond * (1 + more) };
}

function printCases(cases: readonly SimulatedCase[]): void {
  console.log(`Simulated, of a larger fleet a part with ${SIMULATED_CALLS.toLocaleString('en')} calls at once:`);
  printTable([
    ['fleet for', 'what happens', 'calls, mean', 'refused', 'elsewhere', 'cut off', 'highest load', 'most pods', 'set-ups/s, most'],
    ...cases.map(({ fleet, name, outcome, blockedShare, cutShare }) => [
      fleet.toLocaleString('en'),
      name,
      count(outcome.meanLive),
      percent(blockedShare),
      percent(outcome.spilled / outcome.placed),
      percent(cutShare),
      percent(Math.max(...Object.values(outcome.maxLoad)), 0),
      count(outcome.maxPods),
      count(outcome.maxSetUpsPerSecond),
    ]),
  ]);
  console.log('');
}

function goals(cases: readonly SimulatedCase[]): Goal[] {
  return cases.map(({ fleet, name, blockedShare }) =>
    goal(`calls refused, fleet for ${fleet.toLocaleString('en')}, ${name}`, blockedShare * 100, '%', 0.1, 'at most'),
  );
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** @throws {RangeError} for what is no number above 0. */
function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new RangeError(`${flag} ${text}: write a number above 0`);
  return value;
}

await main();
