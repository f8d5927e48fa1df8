import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium, type BrowserContext, type Page } from 'playwright-core';
import { activeSpans, writeWav, type Sound } from './audio.ts';
import { PROJECT } from './paths.ts';

export interface ChromiumOptions {
  /** Whether pages keep what they say and hear, see {@link recording}: yes unless false. It costs a fifth of a core for each page. */
  readonly record?: boolean;
  /**
   * What the fake microphone plays, once, from the moment a page opens it; then silence. Without it there is no
   * microphone at all. It is allowed without a prompt unless `refuse` is set.
   */
  readonly microphone?: Sound;
  /** Answers the microphone's permission prompt with no. */
  readonly refuse?: boolean;
  readonly viewport?: { readonly width: number; readonly height: number };
  readonly colorScheme?: 'light' | 'dark';
  /** More switches of the command line. */
  readonly args?: readonly string[];
  /** Whether the browser logs its network traffic, as `closeAndListUdpDestinations` needs. Default true. */
  readonly netLog?: boolean;
}

/** What a page said or heard, with `startedAt` in seconds of a clock that both recordings of a page share. */
export interface Recording extends Sound {
  readonly startedAt: number;
}

const EXECUTABLE = '/usr/bin/chromium';

/** A real Chromium with a profile of its own, which goes with it. */
export class Chromium {
  readonly #context: BrowserContext;
  readonly #folder: string;
  #closed: Promise<void> | undefined;

  private constructor(context: BrowserContext, folder: string) {
    this.#context = context;
    this.#folder = folder;
  }

  static async launch(options: ChromiumOptions = {}): Promise<Chromium> {
    const folder = await mkdtemp(path.join(tmpdir(), 'earshot-chromium-'));
    const args = [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
      // Nothing of these tests is beyond this machine: no look-ups, so that every datagram of the browser is the call's.
      '--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost',
      ...(options.netLog === false ? [] : [`--log-net-log=${path.join(folder, NET_LOG)}`]),
      ...(options.args ?? []),
    ];
    if (options.microphone) {
      const file = path.join(folder, 'microphone.wav');
      await writeFile(file, writeWav(options.microphone));
      args.push('--use-fake-device-for-media-stream', `--use-file-for-fake-audio-capture=${file}%noloop`);
    }
    args.push(options.refuse ? '--deny-permission-prompts' : '--use-fake-ui-for-media-stream');
    const context = await chromium.launchPersistentContext(path.join(folder, 'profile'), {
      executablePath: EXECUTABLE,
      headless: true,
      chromiumSandbox: false,
      args,
      ...(options.viewport ? { viewport: options.viewport } : {}),
      ...(options.colorScheme ? { colorScheme: options.colorScheme } : {}),
    });
    if (options.record !== false) await context.addInitScript({ path: path.join(PROJECT, 'test/support/in-page/recorder.js') });
    return new Chromium(context, folder);
  }

  /** A fresh page, with {@link PageWatch} noting what goes wrong in it. */
  async open(url: string): Promise<{ page: Page; watch: PageWatch }> {
    const page = await this.#context.newPage();
    const watch = new PageWatch(page);
    await page.goto(url);
    return { page, watch };
  }

  /**
   * Ends the browser and tells every address that any UDP socket of it ever sent to, as `ip:port`, from the browser's
   * own network log: its network process writes down each datagram, WebRTC's included.
   */
  async closeAndListUdpDestinations(): Promise<Set<string>> {
    await this.#context.close();
    const log = await readFile(path.join(this.#folder, NET_LOG), 'utf8');
    await this.close();
    return udpDestinations(log);
  }

  /** Ends the browser and removes its profile. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await this.#context.close();
      await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
    })();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Collects console errors, uncaught exceptions and CSP violations of a page. */
export class PageWatch {
  readonly problems: string[] = [];

  constructor(page: Page) {
    page.on('console', (message) => {
      // The recorder's own warning is not the page's.
      if (message.text().startsWith('The ScriptProcessorNode is deprecated')) return;
      if (message.type() === 'error' || message.type() === 'warning') this.problems.push(message.text());
    });
    page.on('pageerror', (error) => this.problems.push(String(error)));
  }
}

/**
 * What the page's microphone delivered (`sent`) or its remote audio track played (`heard`) so far.
 * @throws {Error} when the page has not got that far.
 */
export async function recording(page: Page, name: 'sent' | 'heard'): Promise<Recording> {
  const taken = await page.evaluate<{ startedAt: number; sampleRate: number; base64: string } | null>(
    `recorder.take(${JSON.stringify(name)})`,
  );
  if (!taken) throw new Error(`the page has no recording of what it ${name}`);
  const bytes = Buffer.from(taken.base64, 'base64');
  const samples = new Float32Array(bytes.length / 4);
  for (let i = 0; i < samples.length; i++) samples[i] = bytes.readFloatLE(4 * i);
  return { startedAt: taken.startedAt, sampleRate: taken.sampleRate, samples };
}

/** Waits until the page has heard `seconds` of sound above `threshold` decibels, and gives the recording. */
export async function heardAtLeast(page: Page, seconds: number, threshold = -45): Promise<Recording> {
  for (;;) {
    const heard = await recording(page, 'heard').catch(() => null);
    if (heard) {
      const active = activeSpans(heard, { threshold, gap: 0.1 });
      if (active.reduce((sum, span) => sum + span.end - span.start, 0) >= seconds) return heard;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const NET_LOG = 'net-log.json';

interface NetLog {
  readonly constants: { readonly logEventTypes: Readonly<Record<string, number>> };
  readonly events: readonly {
    readonly type: number;
    readonly source: { readonly id: number };
    readonly params?: { readonly address?: string };
  }[];
}

/** Destinations of all UDP_BYTES_SENT events; a connected socket's is told once, when it connects. */
function udpDestinations(text: string): Set<string> {
  const log = JSON.parse(text) as NetLog;
  const { UDP_CONNECT: connect, UDP_BYTES_SENT: sent } = log.constants.logEventTypes;
  const connectedTo = new Map<number, string>();
  const found = new Set<string>();
  for (const { type, source, params } of log.events) {
    if (type === connect && params?.address) connectedTo.set(source.id, params.address);
    if (type === sent) found.add(params?.address ?? connectedTo.get(source.id) ?? 'unknown');
  }
  return found;
}
