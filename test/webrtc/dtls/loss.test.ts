import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dissect } from './datagrams.ts';
import { pairsOf, versions } from './pair.ts';
import type { Pair } from './pair.ts';
import { seededRandom } from '../../support/random.ts';

/** Connects, exchanges a message each way, and says what went wrong with which seed. */
function assertConnects(pair: Pair, label: string): void {
  pair.run(() => pair.quiet, 30_000);
  assert.ok(pair.quiet, `${label}: ${JSON.stringify([pair.client.dump(), pair.server.dump()])}`);
  const client = pair.outcome('client').srtp!;
  const server = pair.outcome('server').srtp!;
  assert.deepEqual([client.localKey, client.remoteSalt], [server.remoteKey, server.localSalt], label);
}

for (const version of versions) {
  describe(`DTLS ${version}`, () => {
    const newPair = pairsOf(version);

    test('loss of 20%, reordering and duplication in each direction do not keep a handshake from completing', () => {
      const path = { loss: 0.2, duplication: 0.1, delay: 20, jitter: 120 };
      for (let seed = 1; seed <= 300; seed++) {
        assertConnects(newPair(seed, path, { mtu: 300 }, { mtu: 300 }), `seed ${seed}`);
      }
    });

    describe('MTU and loss', () => {
      for (const mtu of [96, 150, 256, 600, 1200]) {
        for (const loss of [0, 0.1, 0.2, 0.35]) {
          test(`a handshake completes with datagrams of ${mtu} bytes and a loss of ${loss * 100}%`, () => {
            for (let seed = 1; seed <= 8; seed++) {
              const pair = newPair(seed * 7919 + mtu, { loss, delay: 10, jitter: 15 }, { mtu }, { mtu });
              assertConnects(pair, `seed ${seed}`);
              assert.ok(pair.sent.every((datagram) => datagram.data.length <= mtu), 'a datagram is too long');
            }
          });
        }
      }
    });

    test('the loss of any one datagram is made good by the timers', () => {
      const untroubled = newPair(1, {}, { mtu: 256 }, { mtu: 256 });
      const whole = untroubled.run(() => untroubled.quiet).sent.length;
      for (let lost = 0; lost < whole; lost++) {
        const pair = newPair(1, {}, { mtu: 256 }, { mtu: 256 });
        let index = 0;
        pair.tap = (data) => (index++ === lost ? [] : [data]);
        assertConnects(pair, `datagram ${lost} of ${whole}`);
        assert.ok(pair.client.counters.flightsRetransmitted + pair.server.counters.flightsRetransmitted > 0);
      }
    });

    test('a lost last flight is sent again when the client repeats its Finished', () => {
      const pair = newPair();
      let finals = 0;
      pair.tap = (data, from) => (from === 'server' && pair.server.state === 'connected' && finals++ === 0 ? [] : [data]);
      pair.run(() => pair.quiet);
      assert.ok(pair.quiet);
      // In DTLS 1.3 it is an ACK, which is no flight.
      assert.equal(pair.server.counters.flightsRetransmitted, version === '1.2' ? 1 : 0);
      assert.equal(pair.client.counters.flightsRetransmitted, 1);
    });

    test('fragments arrive in any order, each record in a datagram of its own', () => {
      for (let seed = 1; seed <= 50; seed++) {
        const pair = newPair(seed, {}, { mtu: 120 }, { mtu: 120 });
        const random = seededRandom(seed);
        let held: Uint8Array[] = [];
        // All records of a flight are held back until it is whole, then shuffled.
        pair.tap = (data) => {
          held.push(...dissect(data).map((record) => record.bytes));
          return [];
        };
        for (let flight = 0; flight < 4; flight++) {
          pair.settle();
          const shuffled = held.map((record) => ({ record, key: random() })).sort((a, b) => a.key - b.key);
          held = [];
          for (const { record } of shuffled) pair.deliver(flight % 2 === 0 ? 'server' : 'client', record);
        }
        assert.ok(pair.connected, `seed ${seed}`);
        assert.equal(pair.client.counters.flightsRetransmitted + pair.server.counters.flightsRetransmitted, 0);
      }
    });

    test('several flights in one datagram and repeated fragments are no trouble', () => {
      const pair = newPair(1, {}, { mtu: 200 }, { mtu: 200 });
      pair.tap = (data) => {
        const records = dissect(data).map((record) => record.bytes);
        return [Buffer.concat([...records, ...records.toReversed()])];
      };
      pair.run();
      assert.ok(pair.connected);
      assert.ok(pair.client.counters.dropped.replayed > 0);
    });

    test('a Finished that overtakes the key exchange is kept until it can be read', () => {
      const pair = newPair(1, {}, { mtu: 200 });
      pair.tap = (data, from) => (from === 'client' && pair.sent.length > 2 ? [] : [data]);
      pair.settle();
      const flight = pair.sent.filter((datagram) => datagram.from === 'client').slice(1);
      assert.ok(flight.length > 2);
      pair.tap = null;
      for (const datagram of flight.toReversed()) pair.deliver('server', datagram.data);
      assert.equal(pair.server.state, 'connected');
    });

    test('a silent peer is tried at 0.2, 0.6, 1.4 s and then every 2 s, and given up after 30 s', () => {
      const pair = newPair();
      const times: number[] = [];
      pair.tap = () => {
        times.push(pair.now);
        return [];
      };
      pair.run(() => false);
      assert.deepEqual(times.slice(0, 7), [0, 200, 600, 1400, 3000, 5000, 7000]);
      assert.deepEqual(pair.outputs.client, [{ type: 'closed', reason: 'handshake-timeout' }]);
      assert.equal(pair.now, 30_000);
      assert.equal(pair.server.state, 'handshaking');
      assert.deepEqual(pair.server.poll(), { type: 'timeout', at: Number.POSITIVE_INFINITY });
    });

    test('a client that falls silent is given up by the server 30 s after its hello', () => {
      const pair = newPair();
      pair.tap = (data, from) => (from === 'client' && pair.sent.length > 1 ? [] : [data]);
      pair.run(() => pair.server.state === 'closed');
      assert.deepEqual(pair.outputs.server, [{ type: 'closed', reason: 'handshake-timeout' }]);
      assert.equal(pair.now, 30_010);
    });

    test('a burst of repeated hellos is answered with one flight', () => {
      const pair = newPair();
      pair.tap = (data, from) => (from === 'server' ? [] : [data]);
      pair.settle();
      const hello = pair.sent[0].data;
      const before = pair.server.counters.datagramsSent;
      pair.now += 100;
      for (let sequence = 10; sequence < 30; sequence++) {
        hello[10] = sequence;
        assert.equal(pair.deliver('server', hello), true);
      }
      assert.equal(pair.server.counters.datagramsSent, before + 1);
    });
  });
}

describe('DTLS 1.2 alone', () => {
  const newPair = pairsOf('1.2');

  test('application data that overtakes the Finished of the server is delivered behind connected', () => {
    const pair = newPair();
    const held: Uint8Array[] = [];
    pair.tap = (data, from) => {
      if (from !== 'server' || pair.server.state !== 'connected') return [data];
      held.push(data);
      return [];
    };
    pair.run(() => pair.server.state === 'connected');
    pair.server.send(Buffer.from('first words'), pair.now);
    pair.settle();
    assert.equal(held.length, 2);
    assert.equal(pair.deliver('client', held[1]), false);
    assert.equal(pair.outputs.client.length, 0);
    assert.equal(pair.deliver('client', held[0]), true);
    pair.settle();
    assert.deepEqual(pair.outputs.client.map((output) => output.type), ['connected', 'data']);
    assert.deepEqual(pair.received('client'), ['first words']);
  });

  test('a repetition within the flight that is coming in does not make the other side repeat its own', () => {
    const pair = newPair();
    // Of the flight with the Finished only the certificate arrives.
    pair.tap = (data, from) => (from === 'client' && pair.sent.length > 2 ? [dissect(data)[0].bytes] : [data]);
    pair.settle();
    const certificate = dissect(pair.sent.at(-1)!.data)[0];
    assert.equal(certificate.fragments[0].type, 11);
    pair.now += 100;
    certificate.bytes[10] += 50;
    assert.equal(pair.deliver('server', certificate.bytes), true);
    assert.equal(pair.server.counters.datagramsSent, 1);
  });
});
