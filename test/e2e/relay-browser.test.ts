import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeSpans, babble, concat, silence } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { callingPage } from './calling-page.ts';
import { Deployment } from './relay-deployment.ts';

test('a browser keeps its call through kill -9 of the relay, with nothing but its own checks to heal it', { timeout: 90_000 }, async (context) => {
  await using deployment = await Deployment.start({ agent: 'echo' });
  await using pages = await ReferenceServer.start({ pages: { '/': callingPage(deployment.endpoint) } });
  // It speaks for as long as this test may take.
  await using chromium = await Chromium.launch({ microphone: concat(silence(1), babble(60, 5)) });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  await heardAtLeast(page, 1);
  const received = (): Promise<number> =>
    page.evaluate<number>(`connection.getStats().then((stats) =>
      [...stats.values()].find(({ type }) => type === 'inbound-rtp').packetsReceived)`);

  await deployment.killRelay();
  const before = await received();
  const upAt = await deployment.startRelay();
  while ((await received()) <= before + 1) {
    assert.ok(performance.now() - upAt < 20_000, 'nothing is heard any more');
  }
  context.diagnostic(`heard again at most ${(performance.now() - upAt).toFixed(0)} ms after the new relay was up`);
  assert.equal(await page.evaluate('connection.connectionState'), 'connected');
  const heard = await heardAtLeast(page, 4);
  assert.ok(activeSpans(heard, { threshold: -45, gap: 0.1 }).length > 0);
  assert.deepEqual(watch.problems, []);
});
