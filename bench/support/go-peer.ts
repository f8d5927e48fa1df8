import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PROJECT } from '../../test/support/paths.ts';

/** Where Debian's packages put Go libraries. */
const DEBIAN_GOPATH = '/usr/share/gocode';
const BUILD_LIMIT_MS = 300_000;

/**
 * Builds the Go program in `bench/peers/<name>` against Debian's packages, which are installed when missing and allowed.
 * @returns the program's path, or a sentence that says why there is none.
 */
export function buildGoPeer(name: string, packages: readonly string[]): { program: string } | { reason: string } {
  const missing = packages.filter((debian) => !run('dpkg', ['-s', debian]).ok);
  if (missing.length > 0 && process.getuid?.() === 0) {
    console.log(`Installing ${missing.join(' and ')} with apt-get …`);
    run('apt-get', ['-q', 'update']);
    run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', ...missing]);
  }
  if (!run('go', ['version']).ok) return { reason: `There is no Go here (apt-get install ${packages.join(' ')}), so there is no ${name}.` };
  // Without modules, Go takes versioned import paths (…/v3) only in programs that lie in a GOPATH.
  const gopath = path.join(tmpdir(), `earshot-bench-go-${process.getuid?.() ?? 0}`);
  const source = path.join(gopath, 'src', name);
  mkdirSync(source, { recursive: true });
  cpSync(path.join(PROJECT, 'bench/peers', name), source, { recursive: true });
  const program = path.join(gopath, name);
  const built = run('go', ['build', '-o', program, '.'], source, { GO111MODULE: 'off', GOFLAGS: '', GOPATH: `${gopath}:${DEBIAN_GOPATH}` });
  if (built.ok && existsSync(program)) return { program };
  return { reason: `${name} does not build here: ${built.said.trim().split('\n').slice(0, 3).join(' / ')}` };
}

function run(
  program: string,
  args: readonly string[],
  cwd = PROJECT,
  env: Readonly<Record<string, string>> = {},
): { ok: boolean; said: string } {
  const { status, stderr } = spawnSync(program, args, {
    cwd,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', ...env },
    encoding: 'utf8',
    timeout: BUILD_LIMIT_MS,
  });
  return { ok: status === 0, said: stderr };
}
