import assert from 'node:assert/strict';
import { test } from 'node:test';
import { babble, similarity } from '../support/audio.ts';
import { EarshotProcess, freeTcpPort, freeUdpPort, startDev } from '../support/earshot-process.ts';
import { decodeHeard, LibdatachannelCaller } from '../support/libdatachannel-caller.ts';
import { utterance } from './voices.ts';

/** Speaks to an echo agent and asserts that the same words come back, and that both ways of the data channel work. */
async function assertEchoes(endpoint: string, udp: string): Promise<void> {
  const hello = await utterance('hello');
  const stranger = babble(1.5, 72);
  await using caller = await LibdatachannelCaller.call({ endpoint });
  await caller.events.next('session.created');
  caller.sendEvent({ type: 'session.update', session: { type: 'realtime', instructions: 'Be brief.' } });
  const { event } = await caller.events.next('session.updated');
  assert.equal((event['session'] as { instructions?: string }).instructions, 'Be brief.');
  assert.equal(caller.remoteAddress(), udp);

  const spoken = await caller.speak(hello);
  await caller.hears((heard) => (heard.at(-1)?.at ?? 0) > spoken.to + 300);
  const heard = decodeHeard(caller.heard);
  const match = similarity(hello, heard);
  assert.ok(match.found > 0.8, `found ${match.found} of what was said`);
  assert.ok(similarity(stranger, heard).found < 0.25, 'any sound would have done');

  const status = await caller.hangUp();
  assert.ok(status === 200 || status === 204, `hang-up answered ${status}`);
  await caller.ended();
}

test('a caller of another WebRTC stack hears its own words from the echo agent', { timeout: 40_000 }, async () => {
  await using dev = await startDev(['--agent', 'echo']);
  await assertEchoes(dev.endpoint, dev.udp);
});

test('the same with an answer that was given ahead of the call', { timeout: 40_000 }, async () => {
  await using dev = await startDev(['--agent', 'echo']);
  await assertEchoes(`${dev.endpoint}?instant`, dev.udp);
});

test('relay and transceiver carry the same call as two processes, and both end cleanly', { timeout: 60_000 }, async () => {
  const secret = { EARSHOT_SECRET: 'a secret that both roles of this test share' };
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const relayHttp = `127.0.0.1:${await freeTcpPort()}`;
  const transceiverHttp = `127.0.0.1:${await freeTcpPort()}`;
  // Each worker takes the next port after the first.
  const relayTrunk = `127.0.0.1:${await freeUdpPort(8)}`;
  const transceiverTrunk = `127.0.0.1:${await freeUdpPort(8)}`;
  await using relay = new EarshotProcess(['relay', '--udp', udp, '--trunk', relayTrunk, '--http', relayHttp], secret);
  await using transceiver = new EarshotProcess(
    ['transceiver', '--http', transceiverHttp, '--trunk', transceiverTrunk, '--ingress', udp, '--agent', 'echo'],
    secret,
  );
  await Promise.all([relay.ready(`http://${relayHttp}`), transceiver.ready(`http://${transceiverHttp}`)]);
  await assertEchoes(`http://${transceiverHttp}/v1/realtime/calls`, udp);
  await Promise.all([relay.stop(), transceiver.stop()]);
});
