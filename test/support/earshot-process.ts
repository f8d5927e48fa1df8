import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { type EventEmitter, once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import { PROJECT } from './paths.ts';

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface DevServer {
  readonly process: EarshotProcess;
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Where offers are posted. */
  readonly endpoint: string;
  /** The relay's public address, `127.0.0.1:port`. */
  readonly udp: string;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A machine that is busy takes its time; a process that ends is noticed at once. */
const READY_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const PROBE_MS = 25;

/** One `earshot …` process. */
export class EarshotProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<ProcessExit>;
  readonly #name: string;
  #output = '';
  #exit: ProcessExit | undefined;

  /**
   * Starts `node bin/earshot.js` with these arguments. Without `EARSHOT_…` of this environment but what `env` says.
   */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#name = `earshot ${args[0] ?? ''}`;
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('EARSHOT_') || name === RUN_MARK);
    this.#child = spawn(process.execPath, [path.join(PROJECT, 'bin/earshot.js'), ...args], {
      cwd: PROJECT,
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    this.#exited = this.#awaitExit();
  }

  /** Standard output and error so far. */
  get output(): string {
    return this.#output;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /**
   * Resolves when `<url>/readyz` answers 200.
   * @throws {Error} with the output when the process ends first or takes too long.
   */
  async ready(url: string): Promise<void> {
    const limit = performance.now() + READY_LIMIT_MS;
    while (performance.now() < limit) {
      if (this.#exit) throw this.#failure(`ended before it was ready (${describe(this.#exit)})`);
      const response = await fetch(`${url}/readyz`).catch(() => null);
      await response?.body?.cancel();
      if (response?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, PROBE_MS));
    }
    await this.kill();
    throw this.#failure('did not become ready');
  }

  /** Resolves when the output has matched; the time limit is the test's. */
  async printed(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#output)) {
      if (this.#exit) throw this.#failure(`ended before it printed ${pattern}`);
      await Promise.race([this.#exited, ...[this.#child.stdout, this.#child.stderr].map((stream) => once(stream!, 'data'))]);
    }
  }

  /** Resolves when the process has ended and its output is complete. */
  exited(): Promise<ProcessExit> {
    return this.#exited;
  }

  /**
   * Ends it as an operator would, with SIGTERM.
   * @throws {Error} with the output unless it exits with code 0 within ten seconds.
   */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
    const exit = await this.#exited;
    clearTimeout(timer);
    if (exit.code !== 0) throw this.#failure(`did not end cleanly on SIGTERM (${describe(exit)})`);
  }

  /** Ends it as a crash would. Idempotent. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** For a test that has failed already: no process stays, and no second error hides the first. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #awaitExit(): Promise<ProcessExit> {
    const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
    this.#exit = { code, signal };
    return this.#exit;
  }

  #failure(what: string): Error {
    return new Error(`${this.#name} ${what}. Its output:\n${this.#output}`);
  }
}

/** `earshot dev` on free ports, ready. Disposing of it asserts a clean end. */
export async function startDev(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<DevServer> {
  const http = `127.0.0.1:${await freeTcpPort()}`;
  const udp = `127.0.0.1:${await freeUdpPort()}`;
  const dev = new EarshotProcess(['dev', '--http', http, '--udp', udp, ...args], env);
  const url = `http://${http}`;
  await dev.ready(url);
  return {
    process: dev,
    url,
    endpoint: `${url}/v1/realtime/calls`,
    udp,
    [Symbol.asyncDispose]: () => dev.stop(),
  };
}

/** A port that was free a moment ago, and that this process has not given before. */
export function freeTcpPort(): Promise<number> {
  return freePorts(1, bindTcpOnce);
}

/** The first of `count` neighbouring UDP ports that were free a moment ago, and that this process has not given before. */
export function freeUdpPort(count = 1): Promise<number> {
  return freePorts(count, bindUdpOnce);
}

/**
 * Where the kernel picks no ports for others, each process of a test run walks from a place of its own: a port that it
 * asks of the kernel could be given again, to itself or to whoever listens on port 0, before it is used.
 */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;
let nextPort = FIRST_PORT + ((process.pid * 101) % (LAST_PORT - FIRST_PORT));

async function freePorts(count: number, isFree: (port: number) => Promise<boolean>): Promise<number> {
  for (;;) {
    const first = nextPort + count > LAST_PORT ? FIRST_PORT : nextPort;
    nextPort = first + count;
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)));
    if (free.every(Boolean)) return first;
  }
}

/** Set by the test run in the environment of everything it starts, so that it can find what was left behind. */
export const RUN_MARK = 'EARSHOT_TEST_RUN';

function bindTcpOnce(port: number): Promise<boolean> {
  const server = createServer();
  return opens(server, () => server.listen(port, '127.0.0.1'));
}

function bindUdpOnce(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  return opens(socket, () => socket.bind(port, '127.0.0.1'));
}

async function opens(socket: EventEmitter & { close(): unknown }, open: () => void): Promise<boolean> {
  try {
    open();
    await once(socket, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

function describe({ code, signal }: ProcessExit): string {
  return signal ? `signal ${signal}` : `code ${code}`;
}
