import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { WebSocket } from 'ws';

/** A microphone that hums without a prompt, and nothing that asks the network. */
const PREFERENCES = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'app.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'http://127.0.0.1:9/',
  'browser.startup.page': 0,
};

const START_LIMIT_MS = 30_000;

interface Reply {
  readonly id: number;
  readonly type: 'success' | 'error';
  readonly result?: unknown;
  readonly message?: string;
}

/** A real Firefox with a profile of its own, driven over WebDriver BiDi (W3C). */
export class Firefox {
  readonly #process: ChildProcess;
  readonly #socket: WebSocket;
  readonly #folder: string;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #ids = 0;
  #context = '';

  private constructor(process: ChildProcess, socket: WebSocket, folder: string) {
    this.#process = process;
    this.#socket = socket;
    this.#folder = folder;
    socket.on('message', (data: Buffer) => {
      const reply = JSON.parse(data.toString()) as Reply;
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  static async launch(): Promise<Firefox> {
    const folder = await mkdtemp(path.join(tmpdir(), 'earshot-firefox-'));
    const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
    await writeFile(path.join(folder, 'user.js'), lines.join('\n'));
    const child = spawn('firefox-esr', ['--headless', '--no-remote', '--profile', folder, '--remote-debugging-port', '0'], {
      env: { ...process.env, HOME: folder },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const address = await bidiAddress(child);
    const socket = new WebSocket(`${address}/session`);
    await once(socket, 'open');
    const firefox = new Firefox(child, socket, folder);
    await firefox.#send('session.new', { capabilities: {} });
    const { contexts } = (await firefox.#send('browsingContext.getTree', {})) as { contexts: { context: string }[] };
    firefox.#context = contexts[0].context;
    return firefox;
  }

  /** Resolves when the page has loaded. */
  async open(url: string): Promise<void> {
    await this.#send('browsingContext.navigate', { context: this.#context, url, wait: 'complete' });
  }

  /** What a JavaScript expression gives in the page, awaited; it must be fit for JSON. @throws what the page throws. */
  async evaluate<T>(expression: string): Promise<T> {
    const { type, result, exceptionDetails } = (await this.#send('script.evaluate', {
      expression: `(async () => JSON.stringify(await (${expression})))()`,
      target: { context: this.#context },
      awaitPromise: true,
    })) as { type: string; result?: { value: string }; exceptionDetails?: { text: string } };
    if (type !== 'success' || !result) throw new Error(`the page threw: ${exceptionDetails?.text}`);
    return JSON.parse(result.value) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.terminate();
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #send(method: string, params: object): Promise<unknown> {
    const id = ++this.#ids;
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params }), (error) => error && reject(error));
    });
    if (reply.type === 'error') throw new Error(`${method}: ${reply.message}`);
    return reply.result;
  }
}

/** Firefox tells on stderr where it listens. */
async function bidiAddress(child: ChildProcess): Promise<string> {
  const told: string[] = [];
  const stop = setTimeout(() => child.kill('SIGKILL'), START_LIMIT_MS);
  try {
    for await (const line of createInterface({ input: child.stderr! })) {
      told.push(line);
      const address = /WebDriver BiDi listening on (ws:\S+)/.exec(line)?.[1];
      if (address) return address;
    }
  } finally {
    clearTimeout(stop);
    child.stderr!.resume();
  }
  throw new Error(`Firefox did not start:\n${told.join('\n')}`);
}

/**
 * An IPv4 address of this machine that is not loopback: Firefox sends nothing to loopback addresses.
 * @throws when there is none.
 */
export function addressForFirefox(): string {
  const found = Object.values(networkInterfaces()).flat().find((entry) => entry?.family === 'IPv4' && !entry.internal);
  if (!found) throw new Error('Firefox sends no media to 127.0.0.1: give this machine a network interface with an IPv4 address.');
  return found.address;
}
