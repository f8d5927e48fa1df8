import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { concat, silence } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { PROJECT } from '../support/paths.ts';
import { RealtimeServer } from '../support/realtime-server.ts';
import { ReferenceServer } from '../support/reference-server.ts';
import { utterance } from './voices.ts';

const KEY = 'sk-upstream';
const SDK = path.join(PROJECT, 'node_modules/@openai/agents-realtime/dist/bundle');

function sdkPage(endpoint: string, clientSecret: string): string {
  return `<!doctype html><title>sdk</title><link rel="icon" href="data:,"><script type="module">
    import { OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession, tool } from '/sdk/openai-realtime-agents.mjs';
    globalThis.seen = [];
    globalThis.errors = [];
    const weather = tool({
      name: 'weather',
      description: 'Tells the weather.',
      strict: false,
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: true },
      execute: ({ city }) => 'rain in ' + city,
    });
    const transport = new OpenAIRealtimeWebRTC({ baseUrl: '${endpoint}' });
    transport.on('*', (event) => seen.push(event.type));
    const agent = new RealtimeAgent({ name: 'Caller', instructions: 'Repeat.', tools: [weather] });
    globalThis.session = new RealtimeSession(agent, { transport, model: 'none' });
    session.on('error', ({ error }) => errors.push(JSON.stringify(error)));
    globalThis.connected = session.connect({ apiKey: '${clientSecret}' }).then(() => 'connected', String);
  </script>`;
}

test('the unmodified SDK in a browser talks to a Realtime server: text, sound, a function call, an interruption, an error', { timeout: 60_000 }, async () => {
  const hello = await utterance('hello');
  await using server = await RealtimeServer.start(KEY);
  const connection = server.connected();
  await using dev = await startDev(['--agent', 'realtime', '--upstream', server.url], { EARSHOT_UPSTREAM_KEY: KEY });
  const { value } = (await (await fetch(`${dev.url}/v1/realtime/client_secrets`, { method: 'POST' })).json()) as { value: string };
  await using pages = await ReferenceServer.start({ files: { '/sdk/': SDK }, pages: { '/': sdkPage(dev.endpoint, value) } });
  await using chromium = await Chromium.launch({ microphone: concat(silence(1), hello, hello, hello) });
  const { page, watch } = await chromium.open(`${pages.url}/`);
  assert.equal(await page.evaluate('connected'), 'connected');
  const upstream = await connection;
  const seen = (type: string): Promise<unknown> => page.waitForFunction((name) => (globalThis as unknown as { seen: string[] }).seen.includes(name), type);

  const asked = upstream.next('response.create');
  await page.evaluate(`session.sendMessage('hello')`);
  await asked;
  upstream.say('1', 20_000, { transcript: 'Good day to you.' });
  await heardAtLeast(page, 0.5);
  // The microphone.
  while (upstream.audio < 24_000) await upstream.next('input_audio_buffer.append');

  const truncated = upstream.next('conversation.item.truncate');
  upstream.send({ type: 'input_audio_buffer.speech_started', audio_start_ms: 0, item_id: 'item_user' });
  const heardMs = (await truncated)['audio_end_ms'] as number;
  assert.ok(heardMs > 300 && heardMs < 19_900, `${heardMs} ms heard`);
  await seen('output_audio_buffer.cleared');

  const output = upstream.next('conversation.item.create');
  const next = upstream.next('response.create');
  upstream.callFunction('2', 'weather', '{"city":"Ulm"}');
  assert.equal(((await output)['item'] as { output: string }).output, 'rain in Ulm');
  await next;
  assert.deepEqual(await page.evaluate('errors'), []);

  await page.evaluate(`session.transport.sendEvent({ type: 'no.such' })`);
  await page.waitForFunction('errors.length > 0');
  assert.match((await page.evaluate<string[]>('errors'))[0], /no\.such/);
  assert.deepEqual(watch.problems, []);
});
