import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { RelayOptions } from '../../src/relay/index.ts';
import { deriveKey } from '../../src/wire/derive-key.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { RoutingKeys } from '../../src/wire/routing-token.ts';
import { buildGoPeer } from '../support/go-peer.ts';
import type { LoadResult, LoadTask } from './load.ts';

/** A part of a bench in its own process. */
export interface Part {
  readonly process: ChildProcess;
  readonly address: string;
}

export const SECRET = 'bench';

/** What a client shows to reach the transceiver at `address`. */
export function ufragFor(address: string, secret = SECRET): string {
  return new RoutingKeys(secret).encodeUfrag({ cluster: 0, locator: { kind: 0, address: parseAddress(address) }, nonce: 1 });
}

/** Starts a part; the first thing that it says is its address. */
export function startPart(part: string, ...args: string[]): Promise<Part> {
  return startPartWithin([], part, ...args);
}

/** Starts a part by a command that is given the part's own, such as `ip netns exec NAME`. */
export async function startPartWithin(within: readonly string[], part: string, ...args: string[]): Promise<Part> {
  const [execPath, ...execArgv] = [...within, process.execPath];
  const child = fork(new URL(`./${part}.js`, import.meta.url), args, { execPath, execArgv });
  const [address] = (await Promise.race([once(child, 'message'), failed(child, part)])) as [string];
  return { process: child, address };
}

export function startRelayProcess(options: Partial<RelayOptions>): Promise<Part> {
  return startPart('relay-process', SECRET, JSON.stringify(options));
}

/** The relay of `bench/peers/go-relay`, or a sentence that says why there is none. */
export async function startGoRelay(): Promise<Part | { reason: string }> {
  const built = buildGoPeer('go-relay', ['golang-go']);
  if ('reason' in built) return built;
  const hex = (info: string, bytes: number): string => Buffer.from(deriveKey(SECRET, info, bytes)).toString('hex');
  const args = ['127.0.0.1:0', '127.0.0.1', hex('earshot trunk v1', 8), hex('earshot route v1', 16)];
  const child = spawn(built.program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await Promise.race([once(child.stdout, 'data'), failed(child, 'go-relay')])) as [Buffer];
  return { process: child, address: line.toString().trim() };
}

/** A load generator, one task at a time. */
export class Generator {
  readonly #process: ChildProcess;
  readonly #failed: Promise<never>;

  private constructor(child: ChildProcess) {
    this.#process = child;
    this.#failed = failed(child, 'load-generator');
    this.#failed.catch(() => undefined);
  }

  /** @param within a command that the process is started by: `ip netns exec NAME`. */
  static async start(within: readonly string[] = []): Promise<Generator> {
    const { process: child } = await startPartWithin(within, 'load-generator');
    return new Generator(child);
  }

  async run(task: LoadTask): Promise<LoadResult> {
    const answer = once(this.#process, 'message');
    this.#process.send(task);
    const [result] = (await Promise.race([answer, this.#failed])) as [LoadResult];
    return result;
  }

  close(): void {
    this.#process.kill();
  }
}

/** Runs a part that says one thing and ends. */
export async function runPart<Result>(part: string, ...args: string[]): Promise<Result> {
  const child = fork(new URL(`./${part}.js`, import.meta.url), args);
  const exit = once(child, 'exit');
  const [result] = (await Promise.race([once(child, 'message'), failed(child, part)])) as [Result];
  await exit;
  return result;
}

async function failed(child: ChildProcess, part: string): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null];
  throw new Error(`${part} ended with code ${code} before it had said all`);
}
