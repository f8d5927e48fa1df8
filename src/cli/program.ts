import { Command, CommanderError } from 'commander';
import { addDevCommand } from './dev.ts';
import { dropEmptyVariables } from './environment.ts';
import { addGatewayCommand } from './gateway.ts';
import { requireFlags } from './options.ts';
import { addRelayCommand } from './relay.ts';
import type { Roles } from './roles.ts';
import { addTokenCommand } from './token.ts';
import { addTransceiverCommand } from './transceiver.ts';
import { VERSION } from './version.ts';

const PRECEDENCE = `
A flag wins over its environment variable, and that over the default. An empty variable counts as unset.`;

/** All commands, ready to parse. */
export function buildProgram(roles: Roles): Command {
  const program = new Command('earshot')
    .description('A WebRTC edge for voice AI.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .hook('preAction', (_program, command) => requireFlags(command))
    .configureOutput({ outputError: (text, write) => write(`earshot: ${oneSentence(text)}\n`) })
    .addHelpText('after', `${PRECEDENCE}\n\nExample:\n  earshot dev                 then open http://127.0.0.1:8080/ and talk`);
  addDevCommand(program, roles);
  addRelayCommand(program, roles);
  addTransceiverCommand(program, roles);
  addGatewayCommand(program);
  addTokenCommand(program, roles);
  return program;
}

/**
 * Runs one command to its end: for a server, until it was told to stop and has drained.
 * @param argv without node and script
 * @returns the exit code; whatever went wrong has been said in one sentence on stderr.
 */
export async function runCli(argv: readonly string[], roles: Roles): Promise<number> {
  dropEmptyVariables();
  const program = buildProgram(roles);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode; // Commander has said it already.
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`earshot ${argv[0]}: ${message.split('\n', 1)[0]}\n`);
    if (error instanceof Error && isDebugging(program, argv[0])) process.stderr.write(`${stackWithCauses(error)}\n`);
    return 1;
  }
}

/** Commander writes `error: …`, and a suggestion on a line of its own. */
function oneSentence(text: string): string {
  return text.replace(/^error: /, '').trim().replaceAll('\n', ' ');
}

function isDebugging(program: Command, name: string | undefined): boolean {
  const command = program.commands.find((candidate) => candidate.name() === name);
  return command?.opts<{ logLevel?: string }>().logLevel === 'debug';
}

function stackWithCauses(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\nCaused by: ${stackWithCauses(error.cause)}` : stack;
}
