import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { NetError } from '../../src/net/net-error.ts';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { MAX_DATAGRAM_BYTES, type UdpSocket } from '../../src/net/udp-socket.ts';
import { type TransportAddress, formatAddress, parseAddress } from '../../src/wire/address.ts';

interface Received {
  readonly text: string;
  readonly from: TransportAddress;
}

/** A socket that keeps what comes; `take(n)` resolves once n datagrams have come and their batch has ended. */
class Recorder {
  readonly received: Received[] = [];
  batches = 0;
  #waiting: { count: number; resolve: () => void } | null = null;

  datagram(data: Uint8Array, from: TransportAddress): void {
    this.received.push({ text: Buffer.from(data).toString('latin1'), from });
  }

  batchEnd(): void {
    this.batches++;
    if (this.#waiting && this.received.length >= this.#waiting.count) this.#waiting.resolve();
  }

  take(count: number): Promise<void> {
    if (this.received.length >= count && this.batches > 0) return Promise.resolve();
    return new Promise((resolve) => (this.#waiting = { count, resolve }));
  }
}

const LOOPBACK = parseAddress('127.0.0.1:0');

for (const engine of ['mmsg', 'dgram', 'auto'] as const) {
  const open = async (address = LOOPBACK): Promise<{ socket: UdpSocket; recorder: Recorder }> => {
    const recorder = new Recorder();
    return { socket: await openUdpSocket({ address, handler: recorder, engine }), recorder };
  };

  describe(`UdpSocket, ${engine} engine`, { timeout: 20_000 }, () => {
    it('delivers every datagram in order, with its sender, empty ones too', async () => {
      const [a, b] = [await open(), await open()];
      const texts = Array.from({ length: 300 }, (_, i) => 'x'.repeat(i % 50) + i).concat('');
      for (const text of texts) a.socket.send(Buffer.from(text), b.socket.address);
      a.socket.flush();
      await b.recorder.take(texts.length);
      assert.deepEqual(b.recorder.received.map(({ text }) => text), texts);
      for (const { from } of b.recorder.received) assert.deepEqual(from, a.socket.address);
      assert.equal(new Set(b.recorder.received.map(({ from }) => from)).size, 1);
      const bytes = texts.join('').length;
      const { received, receivedBytes, oversize } = b.socket.counters;
      assert.deepEqual({ received, receivedBytes, oversize }, { received: 301, receivedBytes: bytes, oversize: 0 });
      const { sent, sentBytes, sendErrors } = a.socket.counters;
      assert.deepEqual({ sent, sentBytes, sendErrors }, { sent: 301, sentBytes: bytes, sendErrors: 0 });
      await Promise.all([a.socket.close(), b.socket.close()]);
    });

    it('copies what it is given to send', async () => {
      const [a, b] = [await open(), await open()];
      const data = Buffer.from('before');
      a.socket.send(data, b.socket.address);
      data.fill('x');
      a.socket.flush();
      await b.recorder.take(1);
      assert.equal(b.recorder.received[0].text, 'before');
      await Promise.all([a.socket.close(), b.socket.close()]);
    });

    it('sends nothing before flush', async () => {
      const [a, b] = [await open(), await open()];
      a.socket.send(Buffer.from('first'), b.socket.address);
      assert.equal(a.socket.counters.sendCalls, 0);
      // Another socket's datagram overtakes the one that is held back.
      const c = await open();
      c.socket.send(Buffer.from('second'), b.socket.address);
      c.socket.flush();
      await b.recorder.take(1);
      a.socket.flush();
      await b.recorder.take(2);
      assert.deepEqual(b.recorder.received.map(({ text }) => text), ['second', 'first']);
      await Promise.all([a, b, c].map(({ socket }) => socket.close()));
    });

    it('serves IPv4 and IPv6 on one [::] port, IPv4 as family 4', async () => {
      const server = await open(parseAddress('[::]:0'));
      const { port } = server.socket.address;
      for (const [family, host] of [[4, '127.0.0.1'], [6, '[::1]']] as const) {
        const client = await open(parseAddress(`${host}:0`));
        client.socket.send(Buffer.from('hello'), parseAddress(`${host}:${port}`));
        client.socket.flush();
        await server.recorder.take(family / 2 - 1);
        const { from } = server.recorder.received[family / 2 - 2];
        assert.equal(formatAddress(from), formatAddress(client.socket.address));
        server.socket.send(Buffer.from('back'), from);
        server.socket.flush();
        await client.recorder.take(1);
        await client.socket.close();
      }
      await server.socket.close();
    });

    it('counts what cannot be sent, and goes on', async () => {
      const [a, b] = [await open(), await open()];
      a.socket.send(new Uint8Array(MAX_DATAGRAM_BYTES + 1), b.socket.address);
      a.socket.send(new Uint8Array(1), parseAddress('[::1]:9'));
      a.socket.send(new Uint8Array(1), parseAddress('127.0.0.1:0'));
      a.socket.send(new Uint8Array(MAX_DATAGRAM_BYTES), b.socket.address);
      a.socket.flush();
      await b.recorder.take(1);
      assert.equal(b.recorder.received[0].text.length, MAX_DATAGRAM_BYTES);
      assert.equal(a.socket.counters.sendErrors, 3);
      await Promise.all([a.socket.close(), b.socket.close()]);
    });

    it('drops and counts a datagram that is too long, rather than cut it', async () => {
      const { socket, recorder } = await open();
      const sender = createSocket('udp4');
      sender.send(new Uint8Array(MAX_DATAGRAM_BYTES + 1), socket.address.port, '127.0.0.1');
      sender.send('end', socket.address.port, '127.0.0.1');
      await recorder.take(1);
      assert.deepEqual(recorder.received.map(({ text }) => text), ['end']);
      assert.equal(socket.counters.oversize, 1);
      sender.close();
      await socket.close();
    });

    it('runs no handler once closed, even when closed from within one', async () => {
      const sender = await open();
      let calls = 0;
      let onFirst: (closing: Promise<void>) => void = () => undefined;
      const closed = new Promise<void>((resolve) => (onFirst = resolve));
      const socket: UdpSocket = await openUdpSocket({
        address: LOOPBACK,
        engine,
        handler: {
          datagram() {
            calls++;
            onFirst(socket.close());
          },
          batchEnd: () => calls++,
        },
      });
      for (let i = 0; i < 20; i++) sender.socket.send(Buffer.from('x'), socket.address);
      sender.socket.flush();
      await closed;
      await socket.close();
      socket.send(Buffer.from('x'), sender.socket.address);
      socket.flush();
      for (let i = 0; i < 5; i++) await new Promise(setImmediate);
      assert.equal(calls, 1);
      await sender.socket.close();
    });

    it('says what to do about a port in use', async () => {
      const squatter = createSocket('udp4');
      squatter.bind(0, '127.0.0.1');
      await once(squatter, 'listening');
      const address = parseAddress(`127.0.0.1:${squatter.address().port}`);
      await assert.rejects(open(address), (error) => error instanceof NetError && error.code === 'EADDRINUSE' && /choose another port/.test(error.message));
      await assert.rejects(open(parseAddress('192.0.2.1:0')), { code: 'EADDRNOTAVAIL' });
      squatter.close();
    });
  });
}
