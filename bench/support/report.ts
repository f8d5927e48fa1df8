import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { commandLine } from './arguments.ts';

/** A figure that the project has promised. One that is missed is printed as missed. */
export interface Goal {
  readonly name: string;
  readonly measured: number;
  readonly unit: string;
  readonly limit: number;
  readonly ok: boolean;
}

export interface BenchArguments {
  /** Under 40 s: fewer rates and repeats. */
  readonly quick: boolean;
  /** Where to write the JSON besides; null for nowhere. */
  readonly out: string | null;
  /** Which of the bench's own switches were given. */
  readonly switches: ReadonlySet<string>;
  /** What its own options with a value were given. */
  readonly values: ReadonlyMap<string, string>;
}

/** Reads `--quick`, `--out FILE` and the bench's own switches and options. Any other ends the bench. */
export function benchArguments(...own: readonly (string | { readonly value: string })[]): BenchArguments {
  const switches = Object.fromEntries(own.flatMap((name) => (typeof name === 'string' ? [[name, { type: 'boolean' } as const]] : [])));
  const options = Object.fromEntries(own.flatMap((option) => (typeof option === 'string' ? [] : [[option.value, { type: 'string' } as const]])));
  const values = commandLine({ ...switches, ...options, quick: { type: 'boolean', default: false }, out: { type: 'string' } });
  const given = Object.entries(values);
  return {
    quick: values.quick,
    out: values.out ?? null,
    switches: new Set(given.flatMap(([name]) => (name in switches ? [name] : []))),
    values: new Map(given.flatMap(([name, value]) => (name in options ? [[name, String(value)] as const] : []))),
  };
}

export function goal(name: string, measured: number, unit: string, limit: number, bound: 'at most' | 'at least'): Goal {
  return { name, measured, unit, limit, ok: bound === 'at most' ? measured <= limit : measured >= limit };
}

/** Rows of equal length, the first one the heading; the first column to the left, the others to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ');
  console.log(line(rows[0]));
  console.log(widths.map((width) => '─'.repeat(width)).join('  '));
  for (const row of rows.slice(1)) console.log(line(row));
}

/** Prints the goals and, as the last line, everything as one line of JSON; writes that to `out` as well. */
export function finish(bench: string, results: unknown, goals: readonly Goal[], { out }: Pick<BenchArguments, 'out'>): void {
  for (const { name, measured, unit, limit, ok } of goals) {
    console.log(`${ok ? 'met   ' : 'MISSED'}  ${name}: ${Number(measured.toPrecision(4))} ${unit} (limit ${limit})`);
  }
  const json = JSON.stringify({ bench, when: new Date().toISOString(), machine: machine(), results, goals });
  if (out !== null) writeFileSync(out, `${json}\n`);
  console.log(json);
}

function machine(): Record<string, unknown> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: systemName(),
    kernel: release(),
    node: process.version,
  };
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}
