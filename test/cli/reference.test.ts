import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Command, Option } from 'commander';
import { buildProgram } from '../../src/cli/program.ts';
import { roles } from '../../src/cli/real-roles.ts';
import { runAll } from './run.ts';

const PAGE = new URL('../../../docs/cli.md', import.meta.url);
const program = buildProgram(roles);
const commands = program.commands.flatMap((command) => (command.commands.length > 0 ? [...command.commands] : [command]));

/**
 * docs/cli.md is written from the commands: `EARSHOT_UPDATE_DOCS=1 npm test` writes it anew, any other run compares.
 */
test('docs/cli.md says what the commands say', () => {
  const expected = reference();
  if (process.env['EARSHOT_UPDATE_DOCS']) writeFileSync(PAGE, expected);
  assert.equal(readFileSync(PAGE, 'utf8'), expected, 'write it anew: npm run build && EARSHOT_UPDATE_DOCS=1 node --test dist/test/cli/reference.test.js');
});

test('--help of every command lists exactly the flags of docs/cli.md', async () => {
  const sections = readFileSync(PAGE, 'utf8').split(/^## /m).slice(1);
  assert.equal(sections.length, commands.length);
  const names = sections.map((section) => /^`earshot ([a-z ]+\b)/.exec(section)![1]);
  const outcomes = await runAll(names.map((name) => ({ args: [...name.split(' '), '--help'], env: {} })));
  for (const [i, section] of sections.entries()) {
    const { stdout, code } = outcomes[i];
    const documented = [...section.matchAll(/^\| `(--[\w-]+)/gm)].map(([, flag]) => flag);
    assert.equal(code, 0);
    const shown = [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map(([, flag]) => flag);
    assert.deepEqual(shown.sort(), documented.sort(), names[i]);
    assert.match(stdout, /\nExample:\n/);
  }
});

test('every flag that configures a role has its environment variable', () => {
  for (const command of program.commands.filter((command) => command.name() !== 'token')) {
    for (const option of command.options) {
      assert.equal(option.envVar, `EARSHOT_${option.long?.slice(2).replaceAll('-', '_').toUpperCase()}`, `${command.name()} ${option.flags}`);
    }
  }
});

function reference(): string {
  const sections = commands.map((command) => {
    const name = command.parent === program ? command.name() : `${command.parent?.name()} ${command.name()}`;
    const rows = command.options.map((option) => `| ${cells(option).join(' | ')} |`);
    const table = rows.length > 0 ? ['', '| Flag | Variable | Default | What it is |', '| --- | --- | --- | --- |', ...rows] : [];
    return [`## \`earshot ${name}${argumentsOf(command)}\``, '', command.description(), ...table].join('\n');
  });
  const intro =
    'This page is written from the commands by the tests.\n\n' +
    'A flag wins over its environment variable, and that over the default. An empty variable counts as unset. `ADDR` is `host:port`; ' +
    'times are written as `500ms`, `30s`, `5m` or `1h`.\n\n' +
    '`EARSHOT_SECRET` is the secret of the deployment, the same for all its processes, at least 16 characters; `openssl rand -base64 32` makes one. ' +
    '`EARSHOT_SECRET_PREVIOUS` is the one before it, still accepted while a new one is rolled out. They have no flags, because a command line is ' +
    'readable by every user of a machine. `earshot dev` makes a secret when there is none.\n\n' +
    'SIGTERM and SIGINT drain: not ready, no new calls, live ones finish within `--drain-timeout`, exit code 0. A second signal ends at once. ' +
    'What cannot start says so in one sentence on stderr and exits with code 1; `--log-level debug` adds the stack.';
  return `# The command line\n\n${intro}\n\n${sections.join('\n\n')}\n`;
}

function cells(option: Option): string[] {
  const choices = option.argChoices ? ` (${option.argChoices.join(', ')})` : '';
  const value = option.defaultValue as string | number | undefined;
  const fallback = value === undefined ? '' : (option.defaultValueDescription ?? String(value));
  return [`\`${option.flags}\``, option.envVar ? `\`${option.envVar}\`` : '', fallback, option.description + choices];
}

function argumentsOf(command: Command): string {
  return command.registeredArguments.map((argument) => ` <${argument.name()}>`).join('');
}
