/** What DTLS 1.3 has beside the handshake itself: acknowledgements, key updates, and flights that travel in another way. */
import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { encodeAck } from '../../../src/webrtc/dtls/ack.ts';
import { encodeHandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import { Secrets13 } from '../../../src/webrtc/dtls/handshake-13.ts';
import type { TrafficSecrets } from '../../../src/webrtc/dtls/handshake-13.ts';
import { nextTrafficSecret, trafficKeys } from '../../../src/webrtc/dtls/key-schedule-13.ts';
import { RecordProtection13 } from '../../../src/webrtc/dtls/record-protection-13.ts';
import { cipherSuites13, contentType } from '../../../src/webrtc/dtls/registry.ts';
import { clearRecord, dissect } from './datagrams.ts';
import { pairsOf } from './pair.ts';
import type { Pair } from './pair.ts';

const newPair = pairsOf('1.3');

describe('acknowledgements', () => {
  test('of a part of a flight bring the missing rest alone, and at once', () => {
    for (const victim of [2, 3]) {
      const pair = newPair(1, { delay: 40 }, { mtu: 300 }, { mtu: 300 });
      let fromServer = 0;
      pair.tap = (data, from) => (from === 'server' && ++fromServer === victim ? [] : [data]);
      pair.run(() => fromServer > 0);
      const flight = fromServer;
      assert.ok(flight >= 3);
      pair.run(() => pair.client.state === 'connected');
      assert.equal(fromServer, flight + 1, 'more than what was missing came again');
      // The flight arrives after 80 ms, is acknowledged 50 ms later, and the rest takes another round trip.
      assert.equal(pair.now, 80 + 50 + 80);
    }
  });

  test('of a part of the last flight bring the rest alone, and the last one ends the repetitions', () => {
    const pair = newPair(1, { delay: 40 }, { mtu: 150 });
    let fromClient = 0;
    pair.tap = (data, from) => (from === 'client' && ++fromClient === 4 ? [] : [data]);
    pair.run(() => pair.client.state === 'connected');
    const flight = fromClient;
    assert.ok(flight >= 5);
    pair.run(() => pair.quiet);
    assert.ok(pair.quiet);
    assert.equal(fromClient, flight + 1);
    assert.equal(pair.client.counters.flightsRetransmitted, 1);
  });

  test('that are lost do no harm: the timers bring what is missing', () => {
    const pair = newPair(1, {}, { mtu: 300 }, { mtu: 300 });
    let fromServer = 0;
    pair.tap = (data, from) => {
      if (from === 'server') return ++fromServer === 2 ? [] : [data];
      return pair.client.state === 'handshaking' && pair.sent.length > 4 ? [] : [data];
    };
    pair.run(() => pair.quiet);
    assert.ok(pair.quiet);
  });

  test('in clear text, which anybody can write, do not hold a flight back', () => {
    const pair = newPair();
    const all = Array.from({ length: 20 }, (_, sequence) => [0, 2].map((epoch) => ({ epoch, sequence }))).flat();
    let dropped = 0;
    pair.tap = (data, from) => (from === 'server' && dropped++ === 0 ? [] : [data]);
    pair.settle();
    pair.deliver('server', clearRecord(contentType.ack, encodeAck(all), 77));
    assert.equal(pair.server.counters.dropped['unprotected-ack'], 1);
    pair.run(() => pair.quiet);
    assert.ok(pair.quiet);
  });

  test('fit the MTU however many records they name', () => {
    const pair = newPair(3, { loss: 0.3, delay: 10, jitter: 15 }, { mtu: 96 }, { mtu: 96 });
    pair.run(() => pair.quiet, 30_000);
    assert.ok(pair.quiet);
    assert.ok(pair.sent.every(({ data }) => data.length <= 96));
  });

  test('go out again when the peer repeats what was acknowledged, and only once for one datagram', () => {
    const pair = newPair();
    let lost = 0;
    pair.tap = (data, from) => (from === 'server' && pair.server.state === 'connected' && lost++ < 2 ? [] : [data]);
    pair.run(() => pair.quiet);
    assert.ok(pair.quiet);
    assert.equal(pair.client.counters.flightsRetransmitted, 2);
    assert.equal(pair.sent.filter(({ from }) => from === 'server').length, 1 + 3);
  });

  test('that never come end the call of a client after 30 s', () => {
    const pair = newPair();
    pair.tap = (data, from) => (from === 'client' && pair.client.state === 'connected' ? [] : [data]);
    pair.run(() => false, 60_000);
    assert.equal(pair.find('client', 'closed')!.reason, 'handshake-timeout');
  });
});

describe('a peer that updates its keys', () => {
  /** A connected pair, and records as only its client can write them, of any epoch from 3 on. */
  function updatingClient(): { pair: Pair; send: (type: number, epoch: number, fragment: Uint8Array) => boolean } {
    const spy = mock.method(Secrets13.prototype, 'application');
    const pair = newPair().run().settle();
    const secrets = spy.mock.calls[0].result as TrafficSecrets;
    spy.mock.restore();
    const suite = cipherSuites13[0];
    let sequence = 100;
    return {
      pair,
      send(type, epoch, fragment) {
        let secret = secrets.client;
        for (let i = 3; i < epoch; i++) secret = nextTrafficSecret(suite.hash, secret);
        const protection = new RecordProtection13(suite, trafficKeys(suite, secret));
        const record = new Uint8Array(fragment.length + protection.overhead);
        protection.seal(type, epoch, sequence++, fragment, record, 0);
        const accepted = pair.deliver('server', record);
        pair.settle();
        return accepted;
      },
    };
  }

  const keyUpdate = (sequence: number, request: number): Uint8Array =>
    encodeHandshakeFragment({ type: 24, sequence, body: Uint8Array.of(request) }, 0, 1);

  test('is acknowledged and understood in the next epoch, and late records of the last one still are', () => {
    const { pair, send } = updatingClient();
    const before = pair.sent.length;
    assert.equal(send(contentType.handshake, 3, keyUpdate(4, 0)), true);
    assert.equal(pair.sent.length, before + 1);
    assert.equal(send(contentType.applicationData, 4, Buffer.from('new keys')), true);
    assert.equal(send(contentType.applicationData, 3, Buffer.from('old keys')), true);
    assert.deepEqual(pair.received('server'), ['new keys', 'old keys']);
    // A repetition, because the ACK was lost, is acknowledged again and changes nothing.
    assert.equal(send(contentType.handshake, 3, keyUpdate(4, 0)), true);
    assert.equal(pair.sent.length, before + 2);
    assert.deepEqual([pair.server.dump().readEpoch, pair.server.dump().writeEpoch], [4, 3]);
  });

  test('and asks for the same gets it, and both go on to talk', () => {
    const { pair, send } = updatingClient();
    send(contentType.handshake, 3, keyUpdate(4, 1));
    pair.run(() => pair.quiet);
    assert.ok(pair.quiet);
    assert.deepEqual([pair.server.dump().readEpoch, pair.server.dump().writeEpoch], [4, 4]);
    assert.deepEqual([pair.client.dump().readEpoch, pair.client.dump().writeEpoch], [4, 3]);
    pair.server.send(Buffer.from('from epoch 4'), pair.now);
    pair.settle();
    assert.deepEqual(pair.received('client'), ['from epoch 4']);
  });

  test('many times over is followed, though the header shows two bits of the epoch', () => {
    const { pair, send } = updatingClient();
    for (let epoch = 3; epoch < 20; epoch++) assert.equal(send(contentType.handshake, epoch, keyUpdate(epoch + 1, 0)), true);
    assert.equal(send(contentType.applicationData, 20, Buffer.from('still here')), true);
    assert.deepEqual(pair.received('server'), ['still here']);
  });

  test('with nonsense in it ends the call', () => {
    for (const [body, alert] of [[[2], 'illegal_parameter'], [[], 'decode_error'], [[0, 0], 'decode_error']] as const) {
      const { pair, send } = updatingClient();
      send(contentType.handshake, 3, encodeHandshakeFragment({ type: 24, sequence: 4, body: Uint8Array.from(body) }, 0, body.length));
      assert.equal(pair.find('server', 'closed')!.alert, alert);
    }
  });

  test('or sends malformed ACKs and records with no type is counted, and stays connected', () => {
    const { pair, send } = updatingClient();
    assert.equal(send(contentType.ack, 3, Uint8Array.of(0, 3, 0, 0, 0)), true);
    assert.equal(send(0, 3, new Uint8Array(4)), true);
    assert.equal(send(contentType.applicationData, 3, new Uint8Array(0)), true);
    const { dropped } = pair.server.counters;
    assert.deepEqual([dropped['malformed-ack'], dropped['unknown-content-type']], [1, 1]);
    assert.equal(pair.server.state, 'connected');
  });
});

for (const version of ['1.2', '1.3'] as const) {
  describe(`a flight of DTLS ${version} that travels in another way`, () => {
    const pairOf = pairsOf(version);

    test('is shown as it was sent, byte by byte, until it is sent again', () => {
      const pair = pairOf(1, {}, { mtu: 300 }, { mtu: 300 });
      pair.tap = (data, from) => (from === 'server' ? [] : [data]);
      pair.settle();
      const direct = pair.sent.filter(({ from }) => from === 'server').map(({ data }) => Buffer.from(data));
      assert.ok(direct.length > 2);
      assert.deepEqual(pair.server.flightDatagrams.map((data) => Buffer.from(data)), direct);
      assert.deepEqual(pair.server.flightDatagrams.map((data) => Buffer.from(data)), direct);
      pair.now += 500;
      pair.server.handleTimeout(pair.now);
      const again = pair.server.flightDatagrams.map((data) => Buffer.from(data));
      assert.equal(again.length, direct.length);
      assert.notDeepEqual(again, direct);
    });

    test('connects two endpoints though not one datagram of it goes directly', () => {
      const pair = pairOf(1, {}, { mtu: 300 }, { mtu: 300 });
      pair.tap = () => [];
      pair.settle();
      for (let round = 0; round < 3; round++) {
        for (const data of pair.client.flightDatagrams) pair.deliver('server', data);
        pair.settle();
        for (const data of pair.server.flightDatagrams) pair.deliver('client', data);
        pair.settle();
      }
      assert.ok(pair.connected);
    });

    test('is not repeated where it is known to have arrived, until no answer comes to the whole of it', () => {
      const pair = pairOf(1, {}, {}, { mtu: 300 });
      pair.tap = (data, from) => (from === 'server' ? [] : [data]);
      pair.settle();
      const [first, ...rest] = pair.server.flightDatagrams;
      pair.server.confirmDelivery(new Uint8Array(first));
      pair.server.confirmDelivery(Uint8Array.of(1, 2, 3));
      assert.deepEqual(pair.server.flightDatagrams, rest);
      pair.server.handleTimeout(1_000);
      assert.equal(pair.server.flightDatagrams.length, rest.length);
      for (const datagram of pair.server.flightDatagrams) pair.server.confirmDelivery(datagram);
      assert.deepEqual(pair.server.flightDatagrams, []);
      pair.server.handleTimeout(20_000);
      assert.equal(pair.server.flightDatagrams.length, 1 + rest.length);
    });

    test('gets shorter datagrams from the next time on', () => {
      const pair = pairOf(1);
      pair.tap = (data, from) => (from === 'server' ? [] : [data]);
      pair.settle();
      assert.ok(pair.server.flightDatagrams.some((data) => data.length > 400));
      pair.server.mtu = 200;
      pair.server.handleTimeout(1_000);
      assert.ok(pair.server.flightDatagrams.length > 3);
      assert.ok(pair.server.flightDatagrams.every((data) => data.length <= 200));
    });

    test('is told apart from what only goes directly', () => {
      const pair = pairOf();
      const first = pair.client.poll();
      assert.equal(first.type === 'transmit' && first.flight, true);
      pair.deliver('server', (first as { data: Uint8Array }).data);
      pair.run();
      pair.settle();
      pair.client.send(Buffer.from('data'), pair.now);
      const data = pair.client.poll();
      assert.equal(data.type === 'transmit' && data.flight, false);
    });
  });
}

test('clear text records of DTLS 1.3 epochs are nobody’s', () => {
  const pair = newPair().run().settle();
  for (const epoch of [1, 2, 3]) {
    assert.equal(pair.deliver('server', clearRecord(contentType.applicationData, Buffer.from('forged'), 5, epoch)), false);
  }
  assert.equal(pair.server.counters.dropped['unknown-epoch'], 3);
  assert.ok(pair.sent.flatMap(({ data }) => dissect(data)).every(({ header }) => header.form === 'unified' || header.epoch === 0));
});
