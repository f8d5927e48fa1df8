import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { babble } from '../support/audio.ts';
import { Chromium } from '../support/chromium.ts';
import { PROJECT } from '../support/paths.ts';
import { ReferenceServer, type Refusal } from '../support/reference-server.ts';

const FILES = { '/': path.join(PROJECT, 'web') };
const VOICE = babble(8, 51);
const LIMIT = { timeout: 40_000 };

/** With a microphone that is allowed; most tests need no browser of their own. */
let chromium: Chromium;

before(async () => {
  chromium = await Chromium.launch({ microphone: VOICE });
});

after(() => chromium.close());

function errorBody(status: number, code: string, message: string, headers: Record<string, string> = {}): Refusal {
  return { status, headers, body: { error: { type: 'invalid_request_error', code, message, param: null } } };
}

/** `waitForFunction` looks a second time by means of `eval`, which the page's own security policy forbids. */
async function until(page: Page, condition: string): Promise<void> {
  await page.evaluate(`new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!(${condition})) return;
      clearInterval(timer);
      resolve();
    }, 20);
  })`);
}

/** Waits until the server has seen such a request so many times. */
async function requested(server: ReferenceServer, pattern: RegExp, times = 1): Promise<void> {
  while (server.requests.filter((request) => pattern.test(request)).length < times) await new Promise(setImmediate);
}

async function statusIs(page: Page, title: string): Promise<void> {
  await page.getByRole('status').getByText(title, { exact: true }).waitFor();
}

/** Presses Talk and waits until the status has this title; returns all that it says. */
async function talkAndRead(browser: Chromium, refuse: () => Refusal | null, title: string): Promise<string> {
  await using server = await ReferenceServer.start({ files: FILES, refuse });
  const { page } = await browser.open(`${server.url}/`);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, title);
  await page.getByRole('button', { name: 'Talk' }).waitFor();
  return await page.getByRole('status').innerText();
}

test('a person chooses the agent, sees who spoke when, what was said, and where the answer was cut short', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES, agents: ['parrot', 'echo'], ahead: (answer) => answer });
  const { page, watch } = await chromium.open(`${server.url}/`);
  await page.getByRole('combobox', { name: 'Agent' }).selectOption('echo');
  await requested(server, /model=echo/);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  const offers = server.requests.filter((request) => request.startsWith('POST'));
  assert.deepEqual(offers, ['parrot', 'echo'].map((agent) => `POST /v1/realtime/calls?model=${agent}&dcid=1&instant=true`));
  assert.equal(await page.getByRole('combobox', { name: 'Agent' }).isDisabled(), true);
  assert.equal(await page.getByRole('heading', { name: 'Conversation' }).isVisible(), false, 'nobody has spoken yet');

  const call = server.calls[1];
  call.send({ type: 'input_audio_buffer.speech_started', item_id: 'i1' });
  call.send({ type: 'input_audio_buffer.speech_stopped', item_id: 'i1' });
  call.send({ type: 'conversation.item.input_audio_transcription.completed', item_id: 'i1', transcript: 'Are you <b>there</b>?' });
  call.send({ type: 'output_audio_buffer.started', response_id: 'r1' });
  call.send({ type: 'response.output_audio_transcript.delta', response_id: 'r1', delta: 'Yes, and' });
  call.send({ type: 'output_audio_buffer.cleared', response_id: 'r1' });
  const turns = page.locator('#turns > li');
  await turns.nth(1).getByText(/^after \d+ ms · interrupted$/).waitFor();
  assert.deepEqual(await turns.locator('.turn-words').allTextContents(), ['Are you <b>there</b>?', 'Yes, and']);
  await page.locator('#your-lane .turn-bar').waitFor();
  await page.locator('#agent-lane .turn-bar.is-interrupted').waitFor();
  await page.locator('#response-delay', { hasText: /^answers after \d+ ms$/ }).waitFor();

  await page.getByRole('button', { name: 'Hang up' }).click();
  await statusIs(page, 'Call ended');
  assert.equal(await page.getByRole('combobox', { name: 'Agent' }).isEnabled(), true);
  await requested(server, /instant/, 3);
  assert.ok(server.requests.includes(`DELETE /v1/realtime/calls/${call.id}`), server.requests.join());
  assert.deepEqual(watch.problems, []);
});

test('where nobody takes the call that was asked for ahead, an ordinary one follows, and Talk asks for the next', LIMIT, async () => {
  const nowhere = (answer: string): string => answer.replaceAll(/^a=candidate.*\r\n/gm, '');
  await using server = await ReferenceServer.start({ files: FILES, agents: ['parrot'], ahead: nowhere });
  const { page, watch } = await chromium.open(`${server.url}/`);
  await until(page, 'performance.getEntriesByType("resource").some(({ name, responseEnd }) => name.includes("instant") && responseEnd > 0)');
  server.calls[0].end();
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  assert.deepEqual(server.requests.filter((request) => request.startsWith('POST')).slice(1), ['POST /v1/realtime/calls?model=parrot&dcid=1']);
  for (const step of ['microphone', 'answer', 'ice', 'dtls', 'channel', 'audio']) {
    await page.locator(`[data-step=${step}] .step-time`, { hasText: /\d m?s/ }).waitFor();
  }
  await page.getByRole('button', { name: 'Hang up' }).click();
  await requested(server, /instant/, 2);
  assert.ok(server.requests.includes(`DELETE /v1/realtime/calls/${server.calls[1].id}`), server.requests.join());
  assert.deepEqual(watch.problems, []);
});

test('an answer ahead that does not come is not waited for', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES, agents: ['parrot'], ahead: () => new Promise(() => undefined) });
  const { page } = await chromium.open(`${server.url}/`);
  await requested(server, /instant/);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  assert.equal(server.calls.length, 2);
});

test('a server that places a call where it was asked for an answer ahead is told that nobody wants it yet', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES, agents: ['parrot'] });
  const { page } = await chromium.open(`${server.url}/`);
  await requested(server, /^DELETE/);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  assert.equal(server.calls.length, 2);
});

test('a call from Talk to Hang up: status, waterfall, events, figures, and the server told of the end', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES });
  const { page, watch } = await chromium.open(`${server.url}/`);
  await statusIs(page, 'Ready when you are');
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  const [call] = server.calls;
  const turns = [
    ['input_audio_buffer.speech_started', 'You are speaking'],
    ['input_audio_buffer.speech_stopped', 'Listening'],
    ['output_audio_buffer.started', 'The agent is speaking'],
    ['input_audio_buffer.speech_started', 'You are speaking'],
    ['output_audio_buffer.cleared', 'You are speaking'],
    ['input_audio_buffer.speech_stopped', 'Listening'],
  ] as const;
  for (const [type, title] of turns) {
    call.send({ type });
    await statusIs(page, title);
  }

  await page.locator('#round-trip', { hasText: /\d ms/ }).waitFor();
  await page.locator('#loss', { hasText: /\d %/ }).waitFor();
  for (const step of ['microphone', 'answer', 'ice', 'dtls', 'channel', 'audio']) {
    await page.locator(`[data-step=${step}] .step-time`, { hasText: /\d m?s/ }).waitFor();
  }
  await page.getByRole('heading', { name: 'Events' }).click();
  const rows = page.locator('#events > li:not([hidden])');
  assert.equal(await rows.count(), 1 + turns.length);
  await page.getByLabel('Filter').fill('SPEECH_started');
  assert.equal(await rows.count(), 2);
  await rows.first().locator('summary').click();
  await rows.first().getByText('"type": "input_audio_buffer.speech_started"').waitFor();

  await page.getByRole('button', { name: 'Hang up' }).click();
  await statusIs(page, 'Call ended');
  await until(page, 'lastPeerConnection.connectionState === "closed"');
  await call.events.next('never').catch(() => undefined);
  assert.ok(server.requests.includes(`DELETE /v1/realtime/calls/${call.id}`), server.requests.join());
  assert.deepEqual(watch.problems, []);
});

test('the server hears of it when the page is closed in the middle of a call', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES });
  const { page } = await chromium.open(`${server.url}/`);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  await page.goto('about:blank');
  await server.calls[0].events.next('never').catch(() => undefined);
  assert.ok(server.requests.includes(`DELETE /v1/realtime/calls/${server.calls[0].id}`), server.requests.join());
});

test('a call that the server ends is told as that, and Talk calls again', LIMIT, async () => {
  await using server = await ReferenceServer.start({ files: FILES });
  const { page } = await chromium.open(`${server.url}/`);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  server.calls[0].end();
  await statusIs(page, 'The other side ended the call.');
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  assert.equal(server.calls.length, 2);
});

/** Makes the page believe this of its connection: to lose a real one takes a browser longer than a test should. */
async function pretendConnection(page: Page, state: 'disconnected' | 'connected'): Promise<void> {
  await page.evaluate(`
    Object.defineProperty(lastPeerConnection, 'connectionState', { configurable: true, get: () => '${state}' });
    lastPeerConnection.dispatchEvent(new Event('connectionstatechange'));
  `);
}

test('a lost connection is restarted over HTTP in a way the browser accepts, and given up when the call is unknown', LIMIT, async () => {
  const fragments: { fragment: string; type: string | undefined; match: string | undefined }[] = [];
  let known = true;
  await using server = await ReferenceServer.start({
    files: FILES,
    restartIce: ({ headers }, fragment) => {
      fragments.push({ fragment, type: headers['content-type'], match: headers['if-match'] });
      return known ? 'a=ice-ufrag:brandnew\r\na=ice-pwd:brandnewbrandnewbrandnew\r\n' : null;
    },
  });
  const { page } = await chromium.open(`${server.url}/`);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'Listening');
  const before = await page.evaluate<string>('lastPeerConnection.localDescription.sdp');

  await pretendConnection(page, 'disconnected');
  await statusIs(page, 'Connection lost');
  await until(page, 'lastPeerConnection.remoteDescription.sdp.includes("a=ice-ufrag:brandnew")');
  await pretendConnection(page, 'connected');
  await statusIs(page, 'Listening');
  const after = await page.evaluate<string>('lastPeerConnection.localDescription.sdp');
  const ufrag = (sdp: string): string | undefined => /^a=ice-ufrag:(.*)$/m.exec(sdp)?.[1].trim();
  assert.notEqual(ufrag(after), ufrag(before));
  assert.equal(ufrag(fragments[0].fragment), ufrag(after));
  assert.equal(fragments[0].type, 'application/trickle-ice-sdpfrag');
  assert.equal(fragments[0].match, '*');

  known = false;
  await pretendConnection(page, 'disconnected');
  await statusIs(page, 'The call was lost.');
});

test('a refused or missing microphone is told with what to do, and no offer is posted', LIMIT, async () => {
  const refuse = (): never => assert.fail('an offer was posted');
  await using refusing = await Chromium.launch({ refuse: true, microphone: VOICE });
  const refused = await talkAndRead(refusing, refuse, 'The microphone was not allowed.');
  assert.match(refused, /Allow it for this site/);
  await using mute = await Chromium.launch();
  const missing = await talkAndRead(mute, refuse, 'No microphone was found.');
  assert.match(missing, /Connect one/);
});

test('a server that is full, or cannot read the offer, is quoted', LIMIT, async () => {
  const full = errorBody(503, 'server_full', 'no room', { 'Retry-After': '7' });
  assert.match(await talkAndRead(chromium, () => full, 'The server has no room for another call.'), /in 7 seconds/);
  const bad = errorBody(400, 'invalid_offer', 'no usable m-line');
  const said = await talkAndRead(chromium, () => bad, "The server cannot take this browser's call.");
  assert.match(said, /no usable m-line/);
});

test('a server that wants a key is given the one that is typed, and only after it asked', LIMIT, async () => {
  const keys: (string | undefined)[] = [];
  await using server = await ReferenceServer.start({
    files: FILES,
    refuse: ({ headers }) => {
      keys.push(headers.authorization);
      return headers.authorization === 'Bearer right' ? null : errorBody(401, 'invalid_api_key', 'wrong key');
    },
  });
  const { page } = await chromium.open(`${server.url}/`);
  assert.equal(await page.getByLabel('API key').isVisible(), false);
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'This server asks for an API key.');
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  await statusIs(page, 'The server did not accept this API key.');
  await page.keyboard.type('right');
  await page.keyboard.press('Enter');
  await statusIs(page, 'Listening');
  assert.equal(await page.getByLabel('API key').isVisible(), false);
  assert.deepEqual(keys, [undefined, 'Bearer wrong', 'Bearer right']);
});

test('a server that is away, and a page that is not secure, are told in words', LIMIT, async () => {
  const server = await ReferenceServer.start({ files: FILES });
  const { page } = await chromium.open(`${server.url}/`);
  const { page: insecure } = await chromium.open(`${server.url.replace('127.0.0.1', 'voice.test')}/`);
  await statusIs(insecure, 'This page may not use the microphone.');
  assert.equal(await insecure.getByRole('button', { name: 'Talk' }).isDisabled(), true);
  await server.close();
  await page.getByRole('button', { name: 'Talk' }).click();
  await statusIs(page, 'The server cannot be reached.');
});
