import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { roles } from '../../src/cli/real-roles.ts';
import { GatewayCounters } from '../../src/gateway/counters.ts';
import { createUdpSocketCounters } from '../../src/net/udp-socket.ts';
import { createLogger } from '../../src/observe/log.ts';
import { Metrics, type MetricReader, type MetricReading } from '../../src/observe/metrics.ts';
import { MediaClock } from '../../src/transceiver/media-clock.ts';
import { MediaTotals } from '../../src/transceiver/media-metrics.ts';
import { ShardCounters } from '../../src/transceiver/shard-metrics.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { PROJECT } from '../support/paths.ts';
import { CHART, find, render } from './helm.ts';

/** Labels that Prometheus adds when it scrapes. */
const SCRAPE_LABELS = ['namespace', 'pod'];
/** What a histogram's name gets in the exposition. */
const HISTOGRAM_SUFFIX = /_(?:bucket|sum|count)$/;

/** Name of each metric of the code → label → the values that are known to occur, none where anything may. */
type Series = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

const everySeries = allSeries();

test('every metric, label and label value that the dashboard and the alerts ask for exists', async () => {
  const series = await everySeries;
  const expressions = [...dashboardExpressions(), ...rules().map(({ expr }) => expr)];
  assert.ok(expressions.length > 30);
  for (const expression of expressions) for (const fault of faultsOf(expression, series)) assert.fail(`${fault} in: ${expression}`);
});

test('the documentation says what to do about each alert, and of no others', () => {
  const documented = readFileSync(path.join(PROJECT, 'docs/deploy.md'), 'utf8').matchAll(/`(Earshot[A-Z]\w+)`/g);
  assert.deepEqual(Array.from(documented, ([, name]) => name).sort(), rules().map(({ alert }) => alert).sort());
});

test('the check itself finds a metric, a label and a value that do not exist', async () => {
  const series = await everySeries;
  assert.deepEqual(faultsOf('rate(earshot_relay_drops_total[5m])', series), ['there is no metric earshot_relay_drops_total']);
  assert.deepEqual(faultsOf('earshot_relay_dropped_total{why="x"}', series), ['earshot_relay_dropped_total has no label why']);
  assert.deepEqual(faultsOf('earshot_relay_dropped_total{reason="x"}', series), ['earshot_relay_dropped_total never has reason="x"']);
});

test('the autoscaler reads a gauge that transceivers have', async () => {
  const { metrics } = find(render(['whole.yaml']), 'HorizontalPodAutoscaler', '-transceiver')['spec'] as { metrics: { pods: { metric: { name: string }; target: { averageValue: string } } }[] };
  assert.ok((await everySeries).has(metrics[0].pods.metric.name));
  assert.equal(metrics[0].pods.target.averageValue, '182', '70 % of 260 calls');
});

test('the service monitor finds a service of every role, by a port that it has', () => {
  const manifests = render(['whole.yaml']);
  const { selector, endpoints } = find(manifests, 'ServiceMonitor')['spec'] as {
    selector: { matchLabels: Record<string, string> };
    endpoints: { port: string; path: string }[];
  };
  const services = manifests.filter(
    ({ kind, metadata }) => kind === 'Service' && Object.entries(selector.matchLabels).every(([key, value]) => metadata.labels?.[key] === value),
  );
  const roleNames = services.map(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] ?? '');
  assert.deepEqual(roleNames.sort(), ['gateway', 'relay', 'transceiver']);
  for (const { spec } of services) {
    assert.ok((spec as { ports: { name: string }[] }).ports.some(({ name }) => name === endpoints[0].port));
  }
});

/** What is wrong with the metrics of an expression. */
function faultsOf(expression: string, series: Series): string[] {
  const faults: string[] = [];
  for (const [, name, matchers = ''] of expression.matchAll(/\b((?:earshot|nodejs|process)_\w+)\b(?:\{([^}]*)\})?/g)) {
    const labels = series.get(name) ?? series.get(name.replace(HISTOGRAM_SUFFIX, ''));
    if (labels === undefined) {
      faults.push(`there is no metric ${name}`);
      continue;
    }
    for (const [, label, operator, value] of matchers.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)) {
      if (SCRAPE_LABELS.includes(label)) continue;
      const known = labels.get(label);
      if (known === undefined) faults.push(`${name} has no label ${label}`);
      else if (operator === '=' && known.size > 0 && !known.has(value)) faults.push(`${name} never has ${label}="${value}"`);
    }
  }
  return faults;
}

function dashboardExpressions(): string[] {
  const dashboard = JSON.parse(readFileSync(path.join(CHART, 'dashboards/earshot.json'), 'utf8')) as { panels: { targets?: { expr: string }[] }[] };
  return dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

function rules(): { alert: string; expr: string }[] {
  const { groups } = parse(readFileSync(path.join(CHART, 'alerts.yaml'), 'utf8')) as { groups: { rules: { alert: string; expr: string }[] }[] };
  return groups.flatMap((group) => group.rules);
}

/** All metrics of all roles, of the code that makes them. */
async function allSeries(): Promise<Series> {
  const series = new Map<string, Map<string, Set<string>>>();
  for (const { name, labels = {} } of [...(await relayReadings()), ...transceiverReadings(), ...gatewayReadings()]) {
    const known = series.get(name) ?? new Map<string, Set<string>>();
    series.set(name, known);
    for (const [label, value] of Object.entries(labels)) known.set(label, (known.get(label) ?? new Set()).add(value));
  }
  for (const { name, label } of OPEN) series.get(name)?.get(label)?.clear();
  const metrics = new Metrics('0.0.0', 'relay');
  metrics.countRequest({ method: 'GET', route: '/', status: 200, seconds: 0 });
  for (const [, name, labels = ''] of (await metrics.text()).matchAll(/^(\w+)(?:\{([^}]*)\})? /gm)) {
    const known = Array.from(labels.matchAll(/(\w+)="/g), ([, label]) => [label, new Set<string>()] as const);
    series.set(name.replace(HISTOGRAM_SUFFIX, ''), new Map(known));
  }
  return series;
}

/** Labels of which the readings below show examples only. */
const OPEN = [
  { name: 'earshot_calls', label: 'shard' },
  { name: 'earshot_calls_ended_total', label: 'reason' },
  { name: 'earshot_gateway_decisions_total', label: 'cluster' },
  { name: 'earshot_gateway_attempts_total', label: 'cluster' },
  { name: 'earshot_gateway_cluster_condition', label: 'cluster' },
];

async function relayReadings(): Promise<Awaited<ReturnType<MetricReader>>> {
  const logger = createLogger({ level: 'silent', redact: [] });
  const any = parseAddress('127.0.0.1:0');
  const relay = await roles.startRelay(
    // Nobody listens there: the figures of the cache exist all the same.
    { secret: 'a secret of the chart tests', udp: any, trunk: any, cluster: 0, engine: 'dgram', maxFlows: 16, idleTimeoutMs: 1000, trunkMtu: 1472, redis: 'redis://127.0.0.1:1' },
    logger,
  );
  const readings = await relay.metrics();
  await relay.close();
  return readings;
}

function transceiverReadings(): MetricReading[] {
  const counters = new ShardCounters();
  counters.callEnded('dtls-failed');
  const clock = new MediaClock({ tick: () => undefined, prepare: () => undefined });
  return [...counters.readings(0, { calls: 0, socket: createUdpSocketCounters() }), ...new MediaTotals().readings([], clock)];
}

function gatewayReadings(): MetricReading[] {
  const counters = new GatewayCounters();
  counters.decided('somewhere', 'nearest');
  counters.attempted('somewhere', 'answered');
  counters.located('header');
  counters.limited('address');
  const place = { latitude: 0, longitude: 0 };
  const cluster = { id: 0, name: 'somewhere', place, signaling: new URL('http://192.0.2.1'), transceiver: null, trunk: [], direct: false, capacity: null, ingress: [] };
  return counters.readings([{ cluster, condition: 'ready', load: 0 }], [{ address: '192.0.2.1:3478', condition: 'ready' }]);
}
