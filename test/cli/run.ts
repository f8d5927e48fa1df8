import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const FAKE_MAIN = fileURLToPath(new URL('./fake-main.js', import.meta.url));
const BATCH_MAIN = fileURLToPath(new URL('./batch-main.js', import.meta.url));
const REAL_MAIN = fileURLToPath(new URL('../../../bin/earshot.js', import.meta.url));

export const SECRET = 'a secret of the command line tests';

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of the command line, with all that it has printed so far. */
export class CliProcess {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], env: Record<string, string> = {}, main = FAKE_MAIN) {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('EARSHOT_')));
    this.#child = spawn(process.execPath, [main, ...args], {
      env: { ...clean, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // No command outlives its test, whatever goes wrong in it.
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#closed = once(this.#child, 'close');
  }

  /** Waits until the process has printed something that matches, on either stream. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout + this.stderr);
      if (match) return match;
      if (this.#child.exitCode !== null) throw new Error(`exited without printing ${pattern}:\n${this.stdout}${this.stderr}`);
      await Promise.race([once(this.#child.stdout!, 'data'), once(this.#child.stderr!, 'data'), this.#closed]);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async ended(): Promise<Outcome> {
    await this.#closed;
    return { code: this.#child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }
}

export interface BatchCase {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Runs commands on the fake roles, each of which ends by itself. */
export async function runAll(cases: readonly BatchCase[]): Promise<Outcome[]> {
  const { stdout, stderr } = await new CliProcess([JSON.stringify(cases)], {}, BATCH_MAIN).ended();
  if (stdout === '') throw new Error(`a command did not end by itself:\n${stderr}`);
  return JSON.parse(stdout) as Outcome[];
}

/** Runs the executable of the package. */
export function runReal(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new CliProcess(args, env, REAL_MAIN).ended();
}
