import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Caller } from '../../bench/call-parts/caller.ts';
import { startRelay, type Relay } from '../../src/relay/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort } from '../support/earshot-process.ts';

const SECRET = 'a secret that both roles of this test share';
const LOOPBACK = '127.0.0.1';

/**
 * client ─► balancer ─┬─► relay A ─┐
 *                     └─► relay B ─┴─► transceiver
 *
 * The relays see one and the same address for the client, as behind a balancer that passes addresses on.
 */
test('a flow that moves to another relay goes on, answered through it once it has authenticated, and not before', { timeout: 60_000 }, async () => {
  const options = { udp: parseAddress(`${LOOPBACK}:0`), trunk: parseAddress(`${LOOPBACK}:0`), secret: SECRET, workers: 1 };
  const [a, b] = await Promise.all([startRelay(options), startRelay(options)]);
  const balancer = await Balancer.open(a);
  const http = `${LOOPBACK}:${await freeTcpPort()}`;
  await using transceiver = new EarshotProcess(
    ['transceiver', '--http', http, '--trunk', `${LOOPBACK}:${await freeUdpPort()}`, '--ingress', balancer.address, '--agent', 'echo', '--workers', '1'],
    { EARSHOT_SECRET: SECRET },
  );
  await transceiver.ready(`http://${http}`);
  const caller = await Caller.place(`http://${http}/v1/realtime/calls`);
  const heard: number[] = [];
  caller.onHeard = (_payload, at) => heard.push(at);
  const hears = async (more: number): Promise<void> => {
    for (const enough = heard.length + more; heard.length < enough; await pause(5));
  };
  const clock = setInterval(() => {
    const now = performance.now();
    caller.sendFrame(now);
    caller.tick(now);
  }, 20);
  try {
    await caller.connected;
    await hears(10);

    // Somebody else's packets under the client's address, through the other relay: a token seen on the wire and voice.
    balancer.inject(b, balancer.lastCheck);
    while (b.counters().forwarded < 1) await pause(5);
    for (let i = 0; i < 20; i++) balancer.inject(b, Buffer.concat([Buffer.from([0x80, 111]), Buffer.alloc(60, i)]));
    while (b.counters().forwarded < 21) await pause(5);
    await hears(20);
    assert.ok(b.counters().returned <= 1, 'only the replayed check may have been answered through B');

    balancer.relay = b;
    const returnedByA = a.counters().returned;
    await hears(50);
    assert.ok(b.counters().returned >= 50);
    assert.ok(a.counters().returned <= returnedByA + 5, 'what was under way, and no more, comes through A');
  } finally {
    clearInterval(clock);
    await caller.close();
    balancer.close();
    await Promise.all([a.close(), b.close()]);
  }
});

/** Stands before several relays; the one client that it serves is known to them by one address of the balancer's. */
class Balancer {
  relay: Relay;
  /** The client's last STUN datagram. */
  lastCheck: Buffer = Buffer.alloc(0);
  readonly #front: Socket;
  readonly #back: Socket;

  private constructor(relay: Relay, front: Socket, back: Socket) {
    this.relay = relay;
    this.#front = front;
    this.#back = back;
    let client = 0;
    front.on('message', (data, from) => {
      client = from.port;
      if (data[0] < 4) this.lastCheck = data;
      this.inject(this.relay, data);
    });
    back.on('message', (data) => front.send(data, client, LOOPBACK));
  }

  static async open(relay: Relay): Promise<Balancer> {
    const sockets = [createSocket('udp4'), createSocket('udp4')];
    for (const socket of sockets) {
      socket.bind(0, LOOPBACK);
      await once(socket, 'listening');
    }
    return new Balancer(relay, sockets[0], sockets[1]);
  }

  get address(): string {
    return `${LOOPBACK}:${this.#front.address().port}`;
  }

  /** Sends to a relay under the client's address. */
  inject(relay: Relay, data: Uint8Array): void {
    this.#back.send(data, relay.udp.port, LOOPBACK);
  }

  close(): void {
    this.#front.close();
    this.#back.close();
  }
}
