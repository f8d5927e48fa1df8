import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { concat, silence, similarity } from '../support/audio.ts';
import { Chromium, heardAtLeast } from '../support/chromium.ts';
import { startDev } from '../support/earshot-process.ts';
import { utterance } from './voices.ts';

const SIZES = [
  { name: 'desk', width: 1280, height: 860, colorScheme: 'light' },
  { name: 'phone', width: 390, height: 844, colorScheme: 'dark' },
] as const;

for (const { name, width, height, colorScheme } of SIZES) {
  test(`a person presses Talk on a ${name}, speaks, hears the parrot, and hangs up`, { timeout: 60_000 }, async (context) => {
    const hello = await utterance('hello');
    const shots = await mkdtemp(path.join(tmpdir(), `earshot-screens-${name}-`));
    context.diagnostic(`screenshots: ${shots}`);
    await using dev = await startDev([]);
    await using chromium = await Chromium.launch({
      microphone: concat(silence(1.5), hello, silence(1)),
      viewport: { width, height },
      colorScheme,
    });
    const { page, watch } = await chromium.open(`${dev.url}/`);
    const says = async (title: string): Promise<void> => {
      await page.getByRole('status').getByText(title, { exact: true }).waitFor();
      await page.screenshot({ path: path.join(shots, `${title}.png`), fullPage: true });
    };
    await says('Ready when you are');
    await page.getByRole('combobox', { name: 'Agent' }).waitFor();
    assert.deepEqual(await page.getByRole('combobox').locator('option').allTextContents(), ['parrot', 'echo']);
    await page.getByRole('button', { name: 'Talk' }).click();
    await says('You are speaking');
    await says('The agent is speaking');
    await says('Listening');

    for (const step of ['microphone', 'answer', 'ice', 'dtls', 'channel', 'audio']) {
      await page.locator(`[data-step=${step}] .step-time`, { hasText: /\d m?s/ }).waitFor();
    }
    for (const lane of ['#your-lane', '#agent-lane']) await page.locator(`${lane} .turn-bar`).first().waitFor();
    await page.locator('#turns [data-who=agent] .turn-note', { hasText: /after \d+ ms/ }).waitFor();
    await page.locator('#round-trip', { hasText: /\d ms/ }).waitFor();
    const heard = await heardAtLeast(page, 0.5);
    const match = similarity(hello, heard);
    assert.ok(match.found > 0.5, `found ${match.found} of what was said, after the browser's own processing`);
    assert.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, 'the page is too wide');

    await page.getByRole('button', { name: 'Hang up' }).click();
    await says('Call ended');
    assert.deepEqual(watch.problems, []);
  });
}
