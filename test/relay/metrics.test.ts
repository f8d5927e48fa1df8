import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { HistogramBlock, HISTOGRAM_BYTES, sumHistograms } from '../../src/relay/histograms.ts';
import { RELAY_COUNTERS } from '../../src/relay/index.ts';

const histograms = sumHistograms([new HistogramBlock(new SharedArrayBuffer(HISTOGRAM_BYTES), 0)]);
const series = [...RELAY_COUNTERS, ...histograms].map(({ name, help, labels }) => ({ name, help, labels: JSON.stringify(labels) }));

describe('metrics of the relay', () => {
  it('tell packets, bytes, drops by reason, flows learned by way, batches, time in a round and what the trunk lost', () => {
    const has = (name: string, label?: string, value?: string): void => {
      const found = series.some((one) => one.name === name && (label === undefined || one.labels.includes(`"${label}":"${value}"`)));
      assert.ok(found, `${name} ${label ?? ''} ${value ?? ''}`);
    };
    for (const name of ['client_packets', 'client_bytes', 'trunk_datagrams', 'trunk_bytes']) {
      for (const direction of ['in', 'out']) has(name, 'direction', direction);
    }
    for (const to of ['transceiver', 'client']) has('forwarded', 'to', to);
    has('dropped', 'reason', 'unknown-flow');
    for (const from of ['token', 'way_back', 'recovery', 'handover']) has('flows_learned', 'from', from);
    for (const call of ['receive', 'send']) has('batch_datagrams', 'call', call);
    has('loop_duration_seconds');
    has('trunk_lost');
  });

  it('say the same of all series of one name, and something different of each name', () => {
    const helps = new Map<string, string>();
    for (const { name, help } of series) {
      assert.equal(helps.get(name) ?? help, help, name);
      helps.set(name, help);
    }
    assert.equal(new Set(helps.values()).size, helps.size);
  });

  it('are all in docs/relay.md', () => {
    const docs = readFileSync(new URL('../../../docs/relay.md', import.meta.url), 'utf8');
    const table = docs.slice(docs.indexOf('## Metrics'));
    const elsewhere = readFileSync(new URL('../../../docs/global-relay.md', import.meta.url), 'utf8');
    for (const { name } of series) assert.ok(table.includes(`\`${name}`) || elsewhere.includes(name), `${name} is in no table`);
  });
});
