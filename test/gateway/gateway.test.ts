import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Decision } from '../../src/gateway/gateway.ts';
import { formatAddress } from '../../src/wire/address.ts';
import { CallIdKeys } from '../../src/wire/call-id.ts';
import { ANSWER, API_KEY, errorOf, FRAGMENT, OFFER, sendRaw, SECRET } from '../signaling/harness.ts';
import { clusterEntry, PLACES, startCluster, startStrangeCluster, startTestGateway, type ClusterName } from './support/clusters.ts';

const timeout = 20_000;
const KEY = { Authorization: `Bearer ${API_KEY}` };

function decisionOf(response: Response): Decision {
  return JSON.parse(response.headers.get('earshot-decision') ?? 'null') as Decision;
}

test('each caller is answered by the nearest cluster, and told the relays nearest to them', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  await using gateway = await startTestGateway([
    clusterEntry(frankfurt, { ingress: [{ address: '192.0.2.1:3478', global: true }] }),
    clusterEntry(virginia, { ingress: [{ address: '192.0.2.2:3478' }, { address: '192.0.2.3:3478' }] }),
  ]);
  const cases: [from: ClusterName | null, to: typeof frankfurt, reason: string, located: string, ingress: string[]][] = [
    ['frankfurt', frankfurt, 'nearest', 'header', ['192.0.2.1:3478']],
    ['virginia', virginia, 'nearest', 'header', ['192.0.2.2:3478', '192.0.2.3:3478']],
    [null, frankfurt, 'first-listed', 'none', ['192.0.2.1:3478']],
  ];
  for (const [from, cluster, reason, located, ingress] of cases) {
    const response = await gateway.offer(from);
    assert.equal(response.status, 201);
    assert.equal(response.headers.get('content-type'), 'application/sdp');
    assert.equal(response.headers.get('etag'), '"ice-1"');
    assert.equal(await response.text(), ANSWER);
    const id = response.headers.get('location')?.split('/').at(-1) ?? '';
    assert.ok(cluster.calls.live.has(id));
    const decision = decisionOf(response);
    assert.deepEqual([decision.cluster, decision.reason, decision.located, decision.ingress], [cluster.name, reason, located, ingress]);
    const { offer, ingress: told } = cluster.calls.requests.at(-1)!;
    assert.equal(offer, OFFER);
    assert.deepEqual(told?.map(formatAddress), ingress, 'the cluster believed the gateway');
    const [line] = gateway.log.filter((each) => each.includes('offer steered') && each.includes(id.slice(0, 12)));
    assert.deepEqual((JSON.parse(line) as { decision: Decision }).decision, decision, 'the log says the same');
  }
  const silent = await gateway.offer('frankfurt', { 'Earshot-Explain': '0' });
  assert.equal(silent.headers.get('earshot-decision'), null, 'only who asks is told');
});

test('a caller cannot choose the relay addresses of an answer', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  const forged = `203.0.113.66:666; expires=${Math.floor(Date.now() / 1000) + 30}; proof=${'A'.repeat(43)}`;
  await gateway.offer(null, { 'Earshot-Ingress': forged });
  await fetch(`${frankfurt.url}/v1/realtime/calls`, { method: 'POST', headers: { ...KEY, 'Content-Type': 'application/sdp', 'Earshot-Ingress': forged }, body: OFFER });
  assert.deepEqual(frankfurt.calls.requests.map(({ ingress }) => ingress), [undefined, undefined]);
});

test('the query of an offer reaches the cluster as it is', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  const place = (query: string): Promise<Response> =>
    fetch(`${gateway.url}/v1/realtime/calls${query}`, { method: 'POST', headers: { ...KEY, 'Content-Type': 'application/sdp' }, body: OFFER });
  const placed = await place('?model=m&dcid=3');
  assert.deepEqual([placed.status, placed.headers.get('earshot-events-channel')], [201, '3']);
  const [{ eventsChannelId, session }] = frankfurt.calls.requests;
  assert.deepEqual([eventsChannelId, session.model], [3, 'm']);
  const refused = await place('?dcid=x');
  assert.equal(refused.status, 400);
  assert.equal((await errorOf(refused)).param, 'dcid');
});

test('a cluster is told who the caller is, and nothing that is for gateways alone to say', { timeout }, async () => {
  const seen: string[] = [];
  const callers: unknown[] = [];
  await using strange = await startStrangeCluster('frankfurt', 1, (request, response) => {
    if (request.url !== '/readyz') {
      seen.push(...Object.keys(request.headers));
      callers.push(request.headers['x-forwarded-for']);
    }
    response.end();
  });
  await using gateway = await startTestGateway([clusterEntry(strange)]);
  await gateway.offer(null, { 'Earshot-Ingress': 'x', 'Earshot-Calls': '1', 'X-Forwarded-For': '1.1.1.1, 203.0.113.9', 'X-OpenAI-Agents-SDK': 'yes', 'X-Request-Thing': 'yes' });
  assert.deepEqual(seen.filter((name) => name.startsWith('earshot-')), []);
  assert.deepEqual(callers, ['203.0.113.9'], 'and not what the caller says of itself');
  for (const name of ['authorization', 'content-type', 'x-openai-agents-sdk', 'x-request-thing']) assert.ok(seen.includes(name), name);
});

test('what the outer of two gateways chose for its caller, the inner one passes on', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  const relays = { ingress: [{ address: '192.0.2.1:3478' }, { address: '192.0.2.2:3478', latitude: 39, longitude: -77.5 }, { address: '192.0.2.3:3478', latitude: 35, longitude: 139 }] };
  // The inner one does not know the place.
  await using inner = await startTestGateway([clusterEntry(frankfurt, relays)], { trustHeaders: 'cloudflare' });
  await using outer = await startTestGateway([clusterEntry({ ...frankfurt, url: inner.url }, relays)]);
  const response = await outer.offer('virginia');
  assert.equal(response.status, 201);
  const told = frankfurt.calls.requests.at(-1)?.ingress?.map(formatAddress);
  assert.deepEqual(told, ['192.0.2.2:3478', '192.0.2.1:3478']);
  assert.equal((await fetch(outer.url + response.headers.get('location'), { method: 'DELETE', headers: KEY })).status, 200);
  assert.equal(frankfurt.calls.live.size, 0);
});

test('a relay that does not answer, or drains, is named after the others, in the answer, the explanation and the metrics', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  let status = 200;
  await using near = await startStrangeCluster('frankfurt', 8, (_request, response) => response.writeHead(status).end());
  await using far = await startStrangeCluster('virginia', 9, (_request, response) => response.end());
  await using gateway = await startTestGateway([
    clusterEntry(frankfurt, { ingress: [{ address: '192.0.2.1:3478', http: near.url }, { address: '192.0.2.2:3478', ...PLACES.virginia, http: far.url }, { address: '192.0.2.3:3478', ...PLACES.tokyo }] }),
  ]);
  const told = async (): Promise<Pick<Decision, 'ingress' | 'avoided'> & { answered: string[] | undefined }> => {
    const { ingress, avoided } = decisionOf(await gateway.offer('frankfurt'));
    return { ingress, avoided, answered: frankfurt.calls.requests.at(-1)?.ingress?.map(formatAddress) };
  };
  const condition = (of: string): string | undefined =>
    gateway.gateway.metrics().find(({ name, labels, value }) => name === 'earshot_gateway_ingress_condition' && labels?.['ingress'] === of && value === 1)?.labels?.['condition'];
  const well = ['192.0.2.1:3478', '192.0.2.2:3478'];
  assert.deepEqual(await told(), { ingress: well, avoided: [], answered: well });
  assert.deepEqual(['192.0.2.1:3478', '192.0.2.3:3478'].map(condition), ['ready', 'unwatched']);

  status = 503;
  while (condition('192.0.2.1:3478') !== 'not-ready') await pause(20);
  const without = ['192.0.2.2:3478', '192.0.2.3:3478'];
  assert.deepEqual(await told(), { ingress: without, avoided: [{ ingress: '192.0.2.1:3478', condition: 'not-ready' }], answered: without });

  await near[Symbol.asyncDispose]();
  while (condition('192.0.2.1:3478') !== 'unreachable') await pause(20);
  assert.deepEqual((await told()).avoided, [{ ingress: '192.0.2.1:3478', condition: 'unreachable' }]);
  assert.ok(gateway.log.some((line) => line.includes('"ingress changed"') && line.includes('192.0.2.1:3478')));
});

test('any gateway brings hang-up and ICE restart to the cluster that the call id names', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  const entries = [clusterEntry(frankfurt), clusterEntry(virginia)];
  await using first = await startTestGateway(entries);
  await using second = await startTestGateway(entries);
  const location = (await first.offer('virginia')).headers.get('location') ?? '';
  const restart = await fetch(second.url + location, {
    method: 'PATCH',
    headers: { ...KEY, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '"ice-1"' },
    body: FRAGMENT,
  });
  assert.deepEqual([restart.status, restart.headers.get('etag'), await restart.text()], [200, '"ice-2"', 'a=ice-ufrag:new\r\n']);
  const stale = await fetch(second.url + location, {
    method: 'PATCH',
    headers: { ...KEY, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '"ice-1"' },
    body: FRAGMENT,
  });
  assert.deepEqual([stale.status, (await errorOf(stale)).code], [412, 'etag_mismatch']);
  assert.equal((await fetch(second.url + location, { method: 'DELETE', headers: KEY })).status, 200);
  assert.equal(virginia.calls.live.size, 0);
  assert.equal((await fetch(`${second.url}${location}/hangup`, { method: 'POST', headers: KEY })).status, 404, 'of the cluster');
  const guessed = await fetch(`${second.url}/v1/realtime/calls/rtc_${'A'.repeat(43)}`, { method: 'DELETE', headers: KEY });
  assert.deepEqual([guessed.status, (await errorOf(guessed)).code], [404, 'call_not_found']);
  assert.deepEqual(frankfurt.calls.hangups, []);
});

test('a client secret that one cluster made begins a call in another', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  await using gateway = await startTestGateway([clusterEntry(frankfurt), clusterEntry(virginia)]);
  const made = await fetch(`${gateway.url}/v1/realtime/client_secrets`, { method: 'POST', headers: { ...KEY, 'Content-Type': 'application/json' }, body: '{}' });
  assert.equal(made.status, 200);
  const { value } = (await made.json()) as { value: string };
  const response = await gateway.offer('virginia', { Authorization: `Bearer ${value}` });
  assert.deepEqual([response.status, decisionOf(response).cluster], [201, 'virginia']);
  const refused = await gateway.offer('virginia', { Authorization: 'Bearer wrong' });
  assert.deepEqual([refused.status, (await errorOf(refused)).code], [401, 'invalid_api_key'], 'who may call is for the cluster to say');
});

test('the agents that callers may choose are asked of a cluster', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  const { data } = (await (await fetch(`${gateway.url}/v1/models`, { headers: KEY })).json()) as { data: { id: string }[] };
  assert.deepEqual(data.map(({ id }) => id), ['parrot', 'echo']);
});

test('a cluster that is dead, draining or full costs the caller nothing but distance', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  await using tokyo = await startCluster('tokyo', 3);
  await using gateway = await startTestGateway([clusterEntry(frankfurt), clusterEntry(virginia), clusterEntry(tokyo)]);
  // The gateway has not noticed yet: the offers find out.
  frankfurt.ready = false;
  virginia.calls.onCreate = async () => {
    throw Object.assign(new Error('lost'), { statusCode: 500 });
  };
  const response = await gateway.offer('frankfurt');
  assert.equal(response.status, 201);
  const decision = decisionOf(response);
  assert.deepEqual([decision.cluster, decision.attempts.map(({ cluster, outcome, status }) => `${cluster} ${outcome} ${status}`)], [
    'tokyo', ['frankfurt refused 503', 'virginia refused 500', 'tokyo answered 201'],
  ]);
  assert.equal(decision.reason, 'fail-over');
  const again = decisionOf(await gateway.offer('frankfurt'));
  assert.notEqual(again.attempts[0].cluster, 'frankfurt', 'it has learned');
  await frankfurt[Symbol.asyncDispose]();
  await virginia[Symbol.asyncDispose]();
  assert.equal(decisionOf(await gateway.offer('frankfurt')).cluster, 'tokyo');
  await tokyo[Symbol.asyncDispose]();
  const none = await gateway.offer('frankfurt');
  assert.deepEqual([none.status, (await errorOf(none)).code, none.headers.get('retry-after')], [503, 'no_cluster', '2']);
  assert.deepEqual(decisionOf(none).attempts.map(({ outcome }) => outcome), ['failed', 'failed', 'failed']);
});

test('the probes tell the load, and a full cluster gets no offer', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  frankfurt.load.calls = 100;
  virginia.load.calls = 20;
  await using gateway = await startTestGateway([clusterEntry(frankfurt), clusterEntry(virginia)]);
  const decision = decisionOf(await gateway.offer('frankfurt'));
  assert.deepEqual([decision.cluster, decision.reason], ['virginia', 'spill-over']);
  assert.deepEqual(decision.candidates, [
    { cluster: 'virginia', condition: 'ready', load: 0.2, km: 6555 },
    { cluster: 'frankfurt', condition: 'full', load: 1, km: 0 },
  ]);
  assert.equal(frankfurt.calls.requests.length, 0);
  const series = gateway.gateway.metrics().map(({ name, labels, value }) => `${name} ${Object.values(labels ?? {}).join(' ')} ${value}`);
  for (const line of [
    'earshot_gateway_decisions_total virginia spill-over 1',
    'earshot_gateway_attempts_total virginia answered 1',
    'earshot_gateway_located_total header 1',
    'earshot_gateway_cluster_load frankfurt 1',
    'earshot_gateway_cluster_condition virginia ready 1',
  ]) assert.ok(series.includes(line), `${line}\n${series.join('\n')}`);
});

test('a caller gets one answer when a cluster is slow, and the call that comes too late is hung up', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  const make = frankfurt.calls.onCreate!;
  let answerLate = (): void => {};
  const held = new Promise<void>((resolve) => (answerLate = resolve));
  frankfurt.calls.onCreate = async (request) => {
    await held;
    return make(request);
  };
  await using gateway = await startTestGateway([clusterEntry(frankfurt), clusterEntry(virginia)], { attemptTimeoutMs: 50 });
  const response = await gateway.offer('frankfurt');
  const decision = decisionOf(response);
  assert.deepEqual([response.status, decision.cluster, decision.reason], [201, 'virginia', 'fail-over']);
  assert.deepEqual(decision.attempts.map(({ cluster, outcome }) => `${cluster} ${outcome}`), ['frankfurt slow', 'virginia answered']);
  const hungUp = new Promise<void>((resolve) => {
    const hangup = frankfurt.calls.hangup.bind(frankfurt.calls);
    frankfurt.calls.hangup = async (id, reason) => {
      const known = await hangup(id, reason);
      resolve();
      return known;
    };
  });
  answerLate();
  await hungUp;
  assert.equal(frankfurt.calls.live.size, 0);
  assert.equal(virginia.calls.live.size, 1);
});

test('a slow cluster is still good when there is no other', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  const make = frankfurt.calls.onCreate!;
  let asked = 0;
  frankfurt.calls.onCreate = async (request) => {
    asked++;
    await pause(100);
    return make(request);
  };
  await using gateway = await startTestGateway([clusterEntry(frankfurt)], { attemptTimeoutMs: 20 });
  assert.equal((await gateway.offer('frankfurt')).status, 201);
  assert.equal(asked, 1);
});

test('the call of a caller that is gone before the answer is hung up', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  const make = frankfurt.calls.onCreate!;
  const aborter = new AbortController();
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  let resolveHungUp = (_id: string): void => {};
  const hungUp = new Promise<string>((resolve) => (resolveHungUp = resolve));
  const hangup = frankfurt.calls.hangup.bind(frankfurt.calls);
  frankfurt.calls.hangup = async (id, reason) => {
    resolveHungUp(id);
    return hangup(id, reason);
  };
  frankfurt.calls.onCreate = async (request) => {
    aborter.abort();
    // Until the gateway has seen it: its socket to the caller closes in the same process.
    await pause(100);
    return make(request);
  };
  await assert.rejects(fetch(`${gateway.url}/v1/realtime/calls`, {
    method: 'POST', headers: { ...KEY, 'Content-Type': 'application/sdp' }, body: OFFER, signal: aborter.signal,
  }));
  assert.match(await hungUp, /^rtc_/);
});

test('a cluster whose transceivers have another id than the file says is told of in the log', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry({ ...frankfurt, id: 9 })]);
  await gateway.offer('frankfurt');
  assert.ok(gateway.log.some((line) => line.includes('"level":"error"') && line.includes('"id":9') && line.includes('"owner":1')));
});

test('requests about a call go to its own transceiver where the file says how to reach it', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using balancer = await startStrangeCluster('frankfurt', 1, (_request, response) => response.writeHead(404).end());
  const { port } = new URL(frankfurt.url);
  await using gateway = await startTestGateway([clusterEntry(balancer, { transceiver: `http://{ip}:${port}` })]);
  const { id } = await frankfurt.calls.onCreate!({ offer: OFFER, session: {} as never });
  assert.equal(new CallIdKeys(SECRET).decodeCallId(id)?.cluster, 1);
  assert.equal((await fetch(`${gateway.url}/v1/realtime/calls/${id}`, { method: 'DELETE', headers: KEY })).status, 200);
});

test('a cluster that answers with nonsense, or with too much, is passed over', { timeout }, async () => {
  await using virginia = await startCluster('virginia', 2);
  const answers = [
    (response: ServerResponse) => response.socket?.end('nonsense\r\n\r\n'),
    (response: ServerResponse) => response.writeHead(201).end('x'.repeat(1024 * 1024)),
    (response: ServerResponse) => response.writeHead(502).end('<html>Bad Gateway</html>'),
  ];
  for (const answer of answers) {
    await using strange = await startStrangeCluster('frankfurt', 1, (request, response) => {
      if (request.url === '/readyz') response.end();
      else answer(response);
    });
    await using gateway = await startTestGateway([clusterEntry(strange), clusterEntry(virginia)]);
    const response = await gateway.offer('frankfurt');
    assert.deepEqual([response.status, decisionOf(response).cluster], [201, 'virginia']);
  }
});

test('too many requests of one address or under one key are refused, and nobody else is', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)], { ratePerAddress: 2, ratePerKey: 3 });
  const from = (address: string): Promise<Response> => gateway.offer(null, { 'X-Forwarded-For': address });
  assert.equal((await from('203.0.113.1')).status, 201);
  assert.equal((await from('203.0.113.1')).status, 201);
  const refused = await from('203.0.113.1');
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.deepEqual(await errorOf(refused), {
    type: 'rate_limit_error', code: 'rate_limit_exceeded', message: 'There are too many requests from your address: 2 a minute are allowed.', param: null,
  });
  assert.equal((await from('203.0.113.2')).status, 201);
  assert.match((await errorOf(await from('203.0.113.3'))).message, /from this key: 3 a minute/);
  const other = await gateway.offer(null, { 'X-Forwarded-For': '2001:db8::1', Authorization: 'Bearer other' });
  assert.equal(other.status, 401, 'another key is not refused for it');
  assert.equal(frankfurt.calls.requests.length, 3);
});

test('what no cluster would take is refused here: large bodies, other methods, other addresses', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  const url = `${gateway.url}/v1/realtime/calls`;
  const large = await fetch(url, { method: 'POST', headers: KEY, body: 'x'.repeat(200 * 1024) });
  assert.equal((await errorOf(large)).code, 'body_too_large');
  const method = await fetch(url, { headers: KEY });
  assert.deepEqual([method.status, method.headers.get('allow')], [405, 'POST, OPTIONS']);
  assert.equal((await fetch(`${gateway.url}/v1/other`)).status, 404);
  const preflight = await fetch(url, { method: 'OPTIONS', headers: { Origin: 'https://page.example', 'Access-Control-Request-Method': 'POST' } });
  assert.equal(preflight.status, 200);
  assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /If-Match.*Earshot-Explain/);
  // A whole URL in the request line must not become an origin of the gateway's choosing.
  const absolute = await sendRaw(gateway.port, `DELETE http://127.0.0.1:1/v1/realtime/calls/rtc_x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  assert.match(absolute, /^HTTP\/1\.1 4\d\d /);
  assert.equal(gateway.gateway.ready, true);
  assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);
});

test('a change of the clusters file moves new calls, and keeps what is known of the clusters that stay', { timeout }, async () => {
  await using frankfurt = await startCluster('frankfurt', 1);
  await using virginia = await startCluster('virginia', 2);
  await using gateway = await startTestGateway([clusterEntry(frankfurt)]);
  assert.equal(decisionOf(await gateway.offer('virginia')).cluster, 'frankfurt');
  await gateway.writeClusters([clusterEntry(virginia), clusterEntry(frankfurt)]);
  const isReady = (name: string): boolean =>
    gateway.gateway.metrics().some(({ labels, value }) => value === 1 && labels?.['cluster'] === name && labels['condition'] === 'ready');
  while (!isReady('virginia')) await pause(20);
  const { cluster, candidates } = decisionOf(await gateway.offer('virginia'));
  assert.equal(cluster, 'virginia');
  assert.deepEqual(candidates.map(({ condition }) => condition), ['ready', 'ready']);
});
