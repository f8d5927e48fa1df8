/**
 * Runs the tests: `npm test`, or `npm test -- PATTERN …` for the files whose path contains one of the patterns.
 *
 * First the unit tests, files in parallel; then what runs browsers and whole processes, one file after the other, because
 * these measure time. Each stage ends with node's own summary. The exit code is the runner's, and 1 when a stage left a
 * process behind.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { RUN_MARK } from './support/earshot-process.ts';
import { PROJECT } from './support/paths.ts';

interface Stage {
  readonly name: string;
  readonly files: readonly string[];
  readonly concurrency: number;
  /** No file may take longer, in milliseconds. */
  readonly timeout: number;
}

/** Programs that the tests start, and the Debian packages they come in, with what they need besides. */
const PROGRAMS = [
  { program: 'chromium', debian: 'chromium', use: 'the browser tests' },
  { program: 'firefox-esr', debian: 'firefox-esr', use: 'the browser tests' },
  { program: 'redis-server', debian: 'redis-server', use: 'the tests of the Redis store' },
  { program: 'go', debian: 'golang-go golang-github-pion-webrtc.v3-dev', use: 'the calls of Pion' },
];
/** Below test/: what runs a browser or whole processes. */
const SERIAL_FOLDERS = ['e2e', 'support', 'web'];
/** How long a process may outlive the test that started it before it counts as left behind. */
const LEFT_BEHIND_GRACE_MS = 3_000;

process.exitCode = await main(process.argv.slice(2));

async function main(patterns: readonly string[]): Promise<number> {
  const problem = providePrograms();
  if (problem) {
    console.error(problem);
    return 1;
  }
  const files = testFiles(patterns);
  if (files.length === 0) {
    console.error(`No test file matches ${patterns.join(' ') || '(all)'}.`);
    return 1;
  }
  const isEndToEnd = (file: string): boolean => SERIAL_FOLDERS.includes(path.relative(path.join(PROJECT, 'dist/test'), file).split(path.sep)[0]);
  const stages: Stage[] = [
    {
      name: 'unit',
      files: files.filter((file) => !isEndToEnd(file)),
      concurrency: availableParallelism(),
      timeout: 120_000,
    },
    { name: 'end to end', files: files.filter(isEndToEnd), concurrency: 1, timeout: 240_000 },
  ];
  let worst = 0;
  for (const stage of stages) {
    if (stage.files.length > 0) worst = Math.max(worst, await runStage(stage));
  }
  return worst;
}

async function runStage({ name, files, concurrency, timeout }: Stage): Promise<number> {
  console.log(`\n${name}: ${files.length} ${files.length === 1 ? 'file' : 'files'}`);
  const mark = `${process.pid}-${name.replaceAll(' ', '-')}`;
  const runner = spawn(
    process.execPath,
    ['--enable-source-maps', '--test', '--test-reporter=spec', `--test-concurrency=${concurrency}`, `--test-timeout=${timeout}`, ...files],
    { cwd: PROJECT, stdio: 'inherit', env: { ...process.env, [RUN_MARK]: mark } },
  );
  const forward = (signal: NodeJS.Signals): boolean => runner.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  const [code] = (await once(runner, 'exit')) as [number | null];
  process.off('SIGINT', forward).off('SIGTERM', forward);
  const left = await endLeftBehind(mark);
  if (left.length > 0) console.error(`\n${name}: left behind and ended now:\n${left.join('\n')}`);
  return code === 0 && left.length > 0 ? 1 : (code ?? 1);
}

function testFiles(patterns: readonly string[]): string[] {
  const root = path.join(PROJECT, 'dist/test');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.js'))
    // Compiled from a source that is gone since: not a test of this version any more.
    .filter((file) => existsSync(path.join(PROJECT, 'test', file.replace(/\.js$/, '.ts'))))
    .map((file) => path.join('dist/test', file))
    .filter((file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)))
    .sort();
}

/** Installs what is missing where that is possible; returns what to say when it is not. */
function providePrograms(): string | null {
  const missing = PROGRAMS.filter(({ program }) => !isInstalled(program));
  if (missing.length === 0) return null;
  const packages = missing.flatMap(({ debian }) => debian.split(' '));
  const wanted = missing.map(({ program, use }) => `  ${program}, for ${use}`).join('\n');
  if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
    return `These programs are missing:\n${wanted}\nOn Debian, install them with: sudo apt-get install ${packages.join(' ')}`;
  }
  console.log(`Installing ${packages.join(' and ')} with apt-get …`);
  const apt = (...args: string[]): boolean =>
    spawnSync('apt-get', ['-q', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  if (apt('update') && apt('install', '-y', '--no-install-recommends', ...packages)) {
    if (missing.every(({ program }) => isInstalled(program))) return null;
  }
  return `These programs are missing, and apt-get could not install them:\n${wanted}`;
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(path.delimiter).some((folder) => existsSync(path.join(folder, program)));
}

/** Ends all processes that carry the mark and still live after a moment; returns what they were. */
async function endLeftBehind(mark: string): Promise<string[]> {
  const limit = performance.now() + LEFT_BEHIND_GRACE_MS;
  for (;;) {
    const found = processesWith(mark);
    if (found.length === 0) return [];
    if (performance.now() > limit) {
      for (const { pid } of found) endProcess(pid);
      return found.map(({ pid, command }) => `  ${pid}  ${command}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Linux only; elsewhere there is no /proc and nothing is found. */
function processesWith(mark: string): { pid: number; command: string }[] {
  if (!existsSync('/proc/self/environ')) return [];
  const wanted = `${RUN_MARK}=${mark}`;
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0').includes(wanted)) return [];
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 160);
      return [{ pid: Number(entry), command }];
    } catch {
      // It has ended meanwhile, or belongs to somebody else.
      return [];
    }
  });
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
