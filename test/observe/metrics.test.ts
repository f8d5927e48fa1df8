import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metrics, type MetricReading } from '../../src/observe/metrics.ts';

test('counters and gauges show the value of the moment, however often they are read', async () => {
  const metrics = new Metrics('1.2.3', 'relay');
  let received = 5;
  let flows = 7;
  metrics.add(() => [
    { name: 'earshot_relay_packets_total', help: 'Packets.', labels: { direction: 'in' }, value: received },
    { name: 'earshot_relay_packets_total', help: 'Packets.', labels: { direction: 'out' }, value: 1 },
    { name: 'earshot_relay_flows', help: 'Flows.', value: flows },
  ]);
  await metrics.text();
  received = 6;
  flows = 2;
  const text = await metrics.text();
  assert.match(text, /^# TYPE earshot_relay_packets_total counter$/m);
  assert.match(text, /^earshot_relay_packets_total\{direction="in"\} 6$/m);
  assert.match(text, /^earshot_relay_packets_total\{direction="out"\} 1$/m);
  assert.match(text, /^# TYPE earshot_relay_flows gauge$/m);
  assert.match(text, /^earshot_relay_flows 2$/m);
});

test('series that are gone are not shown any more, and several readers add up', async () => {
  const metrics = new Metrics('1.2.3', 'transceiver');
  let sources: MetricReading[] = [{ name: 'earshot_calls', help: 'Calls.', labels: { worker: '1' }, value: 1 }];
  metrics.add(async () => sources);
  metrics.add(() => [{ name: 'earshot_calls', help: 'Calls.', labels: { worker: '0' }, value: 3 }]);
  assert.match(await metrics.text(), /^earshot_calls\{worker="1"\} 1$/m);
  sources = [];
  const text = await metrics.text();
  assert.doesNotMatch(text, /worker="1"/);
  assert.match(text, /^earshot_calls\{worker="0"\} 3$/m);
});

test('two scrapes at once do not count twice', async () => {
  const metrics = new Metrics('1.2.3', 'relay');
  metrics.add(async () => [{ name: 'earshot_x_total', help: 'X.', value: 4 }]);
  for (const text of await Promise.all([metrics.text(), metrics.text(), metrics.text()])) assert.match(text, /^earshot_x_total 4$/m);
});

test('a process shows its version, its event loop and its HTTP requests', async () => {
  const metrics = new Metrics('1.2.3', 'dev');
  metrics.countRequest({ method: 'POST', route: '/v1/realtime/calls', status: 201, seconds: 0.002 });
  const text = await metrics.text();
  assert.match(text, /^earshot_build_info\{version="1\.2\.3",role="dev"\} 1$/m);
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
  assert.match(text, /^process_cpu_seconds_total /m);
  assert.match(text, /^earshot_http_requests_total\{method="POST",route="\/v1\/realtime\/calls",status="201"\} 1$/m);
  assert.match(text, /^earshot_http_request_duration_seconds_bucket\{le="0\.0025",method="POST",route="\/v1\/realtime\/calls"\} 1$/m);
});

test('histograms that others keep are shown as Prometheus has them: buckets that include those below', async () => {
  const metrics = new Metrics('1.2.3', 'relay');
  const of = (call: string, counts: number[]) => ({ name: 'earshot_x', help: 'X.', labels: { call }, bounds: [1, 2.5], counts, sum: 9 });
  metrics.add(() => [of('receive', [3, 1, 2]), { name: 'earshot_calls', help: 'Calls.', value: 3 }, of('send', [0, 0, 1])]);
  const text = await metrics.text();
  assert.ok(
    text.endsWith(
      [
        '',
        '# HELP earshot_x X.',
        '# TYPE earshot_x histogram',
        'earshot_x_bucket{call="receive",le="1"} 3',
        'earshot_x_bucket{call="receive",le="2.5"} 4',
        'earshot_x_bucket{call="receive",le="+Inf"} 6',
        'earshot_x_sum{call="receive"} 9',
        'earshot_x_count{call="receive"} 6',
        'earshot_x_bucket{call="send",le="1"} 0',
        'earshot_x_bucket{call="send",le="2.5"} 0',
        'earshot_x_bucket{call="send",le="+Inf"} 1',
        'earshot_x_sum{call="send"} 9',
        'earshot_x_count{call="send"} 1',
        '',
      ].join('\n'),
    ),
    text,
  );
});
