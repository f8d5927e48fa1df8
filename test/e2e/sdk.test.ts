import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { concat, silence } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { PROJECT } from '../support/paths.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { utterance } from './voices.ts';

const API_KEY = 'sk-test-only';
const SDK = path.join(PROJECT, 'node_modules/@openai/agents-realtime/dist/bundle');

/** The SDK as it is published; only the base URL is ours. */
function sdkPage(endpoint: string, clientSecret: string): string {
  return `<!doctype html><title>sdk</title><link rel="icon" href="data:,"><script type="module">
    import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession } from '/sdk/openai-realtime-agents.mjs';
    globalThis.events = [];
    const transport = new OpenAIRealtimeWebRTC({ baseUrl: '${endpoint}' });
    transport.on('*', (event) => events.push(event.type));
    const agent = new RealtimeAgent({ name: 'Parrot', instructions: 'Repeat what you hear.' });
    const session = new RealtimeSession(agent, { transport, model: 'parrot' });
    globalThis.connected = session.connect({ apiKey: '${clientSecret}' }).then(() => 'connected', String);
  </script>`;
}

test('the unmodified OpenAI agents SDK connects by its base URL alone, is acknowledged and hears audio', { timeout: 60_000 }, async () => {
  const hello = await utterance('hello');
  await using dev = await startDev(['--agent', 'echo', '--api-key', API_KEY]);
  const response = await fetch(`${dev.url}/v1/realtime/client_secrets`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${API_KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ session: { type: 'realtime', model: 'parrot' } }),
  });
  const secret = (await response.json()) as { value: string };
  assert.ok(response.ok, `client_secrets answered ${response.status}: ${JSON.stringify(secret)}`);
  assert.match(secret.value, /^ek_/);

  await using pages = await ReferenceServer.start({
    files: { '/sdk/': SDK },
    pages: { '/': sdkPage(dev.endpoint, secret.value) },
  });
  await using chromium = await Chromium.launch({ microphone: concat(silence(1.5), hello, silence(0.3), hello) });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  assert.equal(await page.evaluate('connected'), 'connected');
  // connect() also resolves when it has waited for the acknowledgement in vain, so look at the events themselves.
  const events = await page.evaluate<string[]>('events');
  assert.ok(events.includes('session.created') && events.includes('session.updated'), events.join());
  await heardAtLeast(page, 1);
  assert.deepEqual(watch.problems, []);
});
