import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress, parseAddress } from '../../../src/wire/address.ts';
import { IceClientAgent } from '../../../src/webrtc/ice/client-agent.ts';
import { IceLiteAgent } from '../../../src/webrtc/ice/lite-agent.ts';
import { BINDING, StunAttribute } from '../../../src/webrtc/stun/attributes.ts';
import { StunMessage } from '../../../src/webrtc/stun/message.ts';
import { StunWriter } from '../../../src/webrtc/stun/writer.ts';
import { CLIENT, CLIENT_2, SERVER, SERVER_2, check } from './checks.ts';
import { VirtualNetwork, type Impairments } from './network.ts';
import { seededBytes } from '../../support/random.ts';

const SERVER_ADDRESS = '198.51.100.1:3478';
const CLIENT_ADDRESS = '192.0.2.1:1000';

function pair(seed: number, impairments: Impairments = {}, candidates: readonly string[] = [SERVER_ADDRESS]) {
  const network = new VirtualNetwork(seed, impairments);
  const lite = new IceLiteAgent({ local: SERVER, remote: CLIENT, now: 0 });
  const client = new IceClientAgent({
    local: CLIENT,
    remote: SERVER,
    remoteCandidates: candidates.map(parseAddress),
    random: seededBytes(seed),
    now: 0,
  });
  client.handleTimeout(0);
  const server = network.add(lite, SERVER_ADDRESS);
  const caller = network.add(client, CLIENT_ADDRESS);
  return { network, lite, client, server, caller };
}

test('connects in one round trip and measures it', () => {
  const { network, client, lite, server, caller } = pair(1, { minDelay: 40 });
  network.run(79.9);
  assert.equal(client.state, 'checking');
  assert.deepEqual(server.events, ['selected 192.0.2.1:1000', 'connected']);
  network.run(80);
  assert.deepEqual(caller.events, ['selected 198.51.100.1:3478', 'connected']);
  assert.equal(client.roundTripTime, 80);
  assert.ok(lite.dump().nominated);
});

test('connects and stays connected for ten minutes through loss, reordering and duplication', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { network, client, lite, server, caller } = pair(seed, { loss: 0.2, duplication: 0.1, minDelay: 5, maxDelay: 300 });
    network.run(600_000);
    assert.equal(client.state, 'connected', `seed ${seed}`);
    assert.equal(lite.state, 'connected', `seed ${seed}`);
    assert.equal(server.events.length, 2, `seed ${seed}: ${server.events.join()}`);
    assert.equal(caller.events.length, 2, `seed ${seed}: ${caller.events.join()}`);
    const rtt = client.roundTripTime!;
    assert.ok(rtt >= 10 && rtt <= 600, `seed ${seed}: ${rtt}`);
  }
});

test('of two candidates, both ends settle on the one that answers first, though the check of the other arrives last', () => {
  const second = '203.0.113.2:3478';
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, lite, server } = pair(seed, { minDelay: 90 }, [SERVER_ADDRESS, second]);
    // Through the second relay the server sees the client at another address, as behind a NAT.
    network.add(
      {
        handleStun: (data, _from, now) => lite.handleStun(data, parseAddress('192.0.2.99:9'), now),
        handleTimeout: () => undefined,
        poll: () => ({ type: 'timeout', at: Number.POSITIVE_INFINITY }),
      },
      second,
    );
    network.run(500);
    assert.equal(client.selected && formatAddress(client.selected), SERVER_ADDRESS, `seed ${seed}`);
    assert.equal(lite.selected && formatAddress(lite.selected), CLIENT_ADDRESS, `seed ${seed}: ${server.events.join()}`);
  }
});

test('another candidate takes over when the chosen one falls silent, and no sooner', () => {
  const second = '203.0.113.2:3478';
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, server, caller } = pair(seed, { minDelay: 20 }, [SERVER_ADDRESS, second]);
    network.run(20_000);
    assert.ok(network.sent.filter(({ at }) => at > 1000).every(({ to }) => formatAddress(to) !== second), 'the second rests');
    // The first relay dies; the same server is behind the second.
    server.address = parseAddress(second);
    network.run(20_000 + 7000);
    assert.deepEqual(caller.events.slice(2), [`selected ${second}`], `seed ${seed}`);
    assert.equal(client.state, 'connected');
    network.run(120_000);
    assert.equal(client.state, 'connected');
  }
});

test('a relay that dies while media comes is left within a second and two round trips', () => {
  const second = '203.0.113.2:3478';
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, server, caller } = pair(seed, { minDelay: 50 }, [SERVER_ADDRESS, second]);
    network.run(10_000);
    let lastAt = 0;
    for (let now = 10_000; now < 12_000; now += 20) {
      network.run(now);
      if (client.handleMedia(now)) network.drain();
      lastAt = now;
    }
    server.address = parseAddress(second);
    network.run(lastAt + 1000 + 200);
    assert.deepEqual(caller.events.slice(2), [`selected ${second}`], `seed ${seed}`);
  }
});

test('media that pauses on a path that works costs one check and changes nothing', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, caller } = pair(seed, { minDelay: 50 }, [SERVER_ADDRESS, '203.0.113.2:3478']);
    network.run(1_100);
    const before = client.dump().checksSent;
    client.handleMedia(1_100);
    client.handleMedia(1_120);
    network.drain();
    network.run(1_419);
    assert.equal(client.dump().checksSent, before);
    network.run(3_900);
    assert.equal(client.dump().checksSent, before + 1, `seed ${seed}`);
    assert.deepEqual(caller.events.length, 2);
  }
});

test('a better candidate whose first check was lost takes over from one that answered sooner', () => {
  const [best, other] = [SERVER_ADDRESS, '203.0.113.2:3478'];
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, lite, server, caller } = pair(seed, { minDelay: 40 }, [best, other]);
    let lost = false;
    const first = server.machine;
    server.machine = {
      handleStun: (data, from, now) => (lost ? first.handleStun(data, from, now) : ((lost = true), false)),
      handleTimeout: (now) => first.handleTimeout(now),
      poll: () => first.poll(),
    };
    network.add(new IceLiteAgent({ local: SERVER, remote: CLIENT, now: 0 }), other);
    network.run(1_500);
    assert.deepEqual(caller.events, [`selected ${other}`, 'connected', `selected ${best}`], `seed ${seed}`);
    assert.ok(lite.dump().nominated);
    const since = client.dump().checksSent;
    network.run(3_500);
    assert.ok(client.dump().checksSent <= since + 1, 'then both rest');
  }
});

test('checks back off while nobody answers, and stop with connect-timeout', () => {
  const { network, client, caller } = pair(3, { loss: 1 });
  network.run(60_000);
  assert.deepEqual(caller.events, ['failed connect-timeout']);
  const times = network.sent.map((datagram) => datagram.at);
  const gaps = times.slice(1).map((at, i) => at - times[i]);
  assert.deepEqual(gaps.slice(0, 7), [50, 100, 200, 400, 800, 1600, 1600]);
  assert.ok(times[times.length - 1] <= 30_000);
  assert.equal(client.dump().checksSent, times.length);
});

test('several candidates: checks are 50 ms apart and the one that answers is selected', () => {
  const { network, client, caller } = pair(4, {}, ['198.51.100.9:1', '[2001:db8::9]:1', SERVER_ADDRESS]);
  network.run(119);
  assert.deepEqual(network.sent.filter(({ from }) => from.port === 1000).map(({ at }) => at), [0, 50, 100]);
  network.run(1_000);
  assert.deepEqual(caller.events, ['selected 198.51.100.1:3478', 'connected']);
  assert.ok(client.accepts(parseAddress(SERVER_ADDRESS)));
  network.run(20_000);
  const toOthers = network.sent.filter(({ to, at }) => to.port === 1 && at > 1_150);
  assert.deepEqual(toOthers, [], 'the others are checked for a second after one was chosen, and no longer');
});

test('a trickled candidate is checked, a repeated one is not', () => {
  const { network, client } = pair(5, {}, []);
  assert.deepEqual(client.poll(), { type: 'timeout', at: 30_000 });
  network.run(1_000);
  client.addRemoteCandidate(parseAddress(SERVER_ADDRESS), 1_000);
  client.addRemoteCandidate(parseAddress(SERVER_ADDRESS), 1_000);
  network.drain();
  network.run(1_020);
  assert.equal(client.state, 'connected');
  assert.equal(client.dump().remoteCandidates.length, 1);
});

test('a consent check follows 2.5 to 5 s after an answer, at other times for other clients', () => {
  const gaps = [6, 7].map((seed) => {
    const { network } = pair(seed);
    network.run(120_000);
    const times = network.sent.filter(({ from }) => from.port === 1000).map(({ at }) => at).slice(1);
    const between = times.slice(1).map((at, i) => at - times[i]);
    assert.ok(between.length > 20);
    assert.ok(between.every((gap) => gap >= 2_520 && gap <= 5_020), `seed ${seed}: ${between.join()}`);
    return between.join();
  });
  assert.notEqual(gaps[0], gaps[1]);
});

test('an unanswered consent check is followed by another soon, so that loss does not pass for a dead path', () => {
  const { network } = pair(10);
  network.run(1_000);
  network.impairments = { loss: 1 };
  network.run(30_000);
  const times = network.sent.filter(({ from }) => from.port === 1000).map(({ at }) => at).slice(1);
  const gaps = times.slice(1).map((at, i) => Math.round(at - times[i]));
  assert.deepEqual(gaps.slice(0, 5), [500, 1000, 1600, 1600, 1600]);
});

test('a client that moves to another network roams with its next check', () => {
  const { network, client, server, caller } = pair(8);
  network.run(10_000);
  caller.address = parseAddress('203.0.113.7:4000');
  client.handleNetworkChange(10_000);
  network.drain();
  network.run(10_100);
  assert.deepEqual(server.events.slice(2), ['selected 203.0.113.7:4000']);
  assert.equal(client.state, 'connected');
});

test('both sides give up when the network dies', () => {
  const { network, server, caller } = pair(9);
  network.run(10_000);
  network.impairments = { loss: 1 };
  network.run(60_000);
  assert.equal(server.events.at(-1), 'failed consent-expired');
  assert.equal(caller.events.at(-1), 'failed consent-expired');
});

test('restart on both sides, through loss, ends in the new credentials without an interruption', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { network, client, lite, server, caller } = pair(seed, { loss: 0.2, duplication: 0.1, minDelay: 5, maxDelay: 100 });
    network.run(10_000);
    lite.restart(SERVER_2, CLIENT_2, 10_000);
    network.run(10_200);
    client.restart(CLIENT_2, SERVER_2, 10_200);
    network.drain();
    network.run(20_000);
    assert.deepEqual(server.events.slice(2), ['checking', 'connected'], `seed ${seed}`);
    assert.deepEqual(caller.events.slice(2), ['checking', 'connected'], `seed ${seed}`);
    assert.equal(lite.dump().localUfrag, SERVER_2.ufrag);
    assert.ok(!lite.dump().restarting);
    assert.equal(client.counters['bad-integrity'], 0, 'answers of the old generation are mistaken for forgeries');
  }
});

test('an eavesdropper that replays every check from its own address gets nothing', () => {
  const { network, lite, server } = pair(11);
  const thief = parseAddress('203.0.113.66:666');
  network.run(60_000);
  for (const { data, to } of network.sent.filter(({ from }) => from.port === 1000)) {
    network.send(data, thief, to);
  }
  network.run(61_000);
  assert.equal(server.events.length, 2);
  assert.ok(!lite.accepts(thief));
  assert.ok(lite.counters['replayed-elsewhere'] > 10);
});

test('client: answers that are forged, unknown or from elsewhere connect nothing', () => {
  const { network, client, caller } = pair(12, { loss: 1 });
  const request = new StunMessage();
  assert.ok(request.read(network.sent[0].data));
  const id = request.transactionId.slice();
  const writer = new StunWriter();
  const response = (transaction: Uint8Array, password: string): Uint8Array => {
    writer.begin('success', BINDING, transaction);
    writer.xorMappedAddress(caller.address);
    return writer.finish(password);
  };
  const from = parseAddress(SERVER_ADDRESS);
  assert.ok(!client.handleStun(response(new Uint8Array(12), SERVER.password), from, 1));
  assert.ok(!client.handleStun(response(id, CLIENT.password), from, 1));
  assert.ok(!client.handleStun(response(id, SERVER.password).subarray(1), from, 1));
  assert.equal(client.state, 'checking');
  assert.deepEqual(
    [client.counters['unknown-transaction'], client.counters['bad-integrity'], client.counters.malformed],
    [1, 1, 1],
  );
  assert.ok(!client.handleStun(response(id, SERVER.password), parseAddress('198.51.100.2:3478'), 1));
  assert.equal(client.counters['asymmetric-response'], 1);
  assert.equal(client.state, 'checking');
});

test('client: an authentic 487 ends it, any other error does not', () => {
  for (const [code, state] of [[487, 'failed'], [420, 'checking']] as const) {
    const { network, client } = pair(13, { loss: 1 });
    const request = new StunMessage();
    request.read(network.sent[0].data);
    const writer = new StunWriter();
    writer.begin('error', BINDING, request.transactionId);
    writer.errorCode(code);
    assert.ok(client.handleStun(writer.finish(SERVER.password), parseAddress(SERVER_ADDRESS), 1));
    assert.equal(client.state, state);
  }
});

test('client: answers the checks of a full agent, and gives 487 to one that wants to control', () => {
  const { network, client } = pair(14, { loss: 1 });
  const from = parseAddress(SERVER_ADDRESS);
  for (const [role, answerClass] of [
    [StunAttribute.iceControlled, 'success'],
    [StunAttribute.iceControlling, 'error'],
  ] as const) {
    assert.ok(client.handleStun(check({ local: SERVER, remote: CLIENT, role }), from, 1));
    network.drain();
    const answer = new StunMessage();
    assert.ok(answer.read(network.sent.at(-1)!.data));
    assert.equal(answer.class, answerClass);
    assert.ok(answer.verifyIntegrity(CLIENT.password));
  }
  assert.ok(!client.handleStun(check({ local: SERVER, remote: CLIENT, password: 'wrong' }), from, 1));
});
