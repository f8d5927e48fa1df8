import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { BareFlow } from '../../bench/call-parts/bare-flow.ts';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { startRelay } from '../../src/relay/index.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';

const SECRET = 'a secret of the test';
const LOOPBACK = parseAddress('127.0.0.1:0');

test('a bare flow hears its own frames again, through a relay and the bare echo', { timeout: 20_000 }, async () => {
  const relay = await startRelay({ udp: LOOPBACK, trunk: LOOPBACK, secret: SECRET });
  const echo = fork(new URL('../../bench/call-parts/bare-echo.js', import.meta.url), [SECRET]);
  const [address] = (await once(echo, 'message')) as [string];
  const ufrag = new RoutingKeys(SECRET).encodeUfrag({ cluster: 0, locator: { kind: 0, address: parseAddress(address) }, nonce: 1 });
  let heard = (): void => undefined;
  const flow = await BareFlow.open(`${formatAddress(relay.udp)}/${ufrag}`, 1, (handler) =>
    openUdpSocket({
      address: LOOPBACK,
      handler: {
        datagram: (data, from) => handler.datagram(data, from),
        batchEnd: () => heard(),
      },
    }),
  );
  try {
    flow.figures.restart(performance.now());
    flow.tick(performance.now());
    for (let frame = 1; frame <= 3; frame++) {
      const answered = new Promise<void>((resolve) => (heard = resolve));
      flow.sendFrame(performance.now());
      await answered;
      assert.equal(flow.figures.roundTrips.length, frame);
    }
    assert.equal(flow.figures.sent, 3);
  } finally {
    await flow.close();
    const exit = once(echo, 'exit');
    echo.disconnect();
    await exit;
    await relay.close();
  }
});
