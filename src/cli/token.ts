import { randomInt } from 'node:crypto';
import { Option, type Command } from 'commander';
import { formatAddress } from '../wire/address.ts';
import { readSecrets, SECRET_HELP } from './environment.ts';
import { required } from './options.ts';
import type { Roles, RoutingTokenFields, TicketTokenFields } from './roles.ts';
import { StartupError } from './startup-error.ts';
import { endpoint, integer, resolveAddress } from './values.ts';

interface EncodeFlags {
  readonly cluster: number;
  readonly locator: string;
  readonly nonce?: number;
}

const MAX_NONCE = 0xffffff;

export function addTokenCommand(program: Command, roles: Roles): void {
  const token = program
    .command('token')
    .summary('make and read routing tokens')
    .description("Makes and reads routing tokens: the server's ICE ufrag, which tells a relay where a call lives.");
  token
    .command('encode')
    .summary('make a routing token')
    .description('Prints the ICE ufrag that leads to a transceiver.')
    // What a token says has no environment variables: it is asked for once, not configured.
    .addOption(new Option('--cluster <id>', 'number of the cluster').argParser(integer(0, 0xffff)).default(0))
    .addOption(required(new Option('--locator <addr>', 'IPv4 trunk address of the transceiver').argParser(endpoint)))
    .addOption(new Option('--nonce <n>', 'number of the call; a random one unless given').argParser(integer(0, MAX_NONCE)))
    .addHelpText('after', `${SECRET_HELP}\n\nExample:\n  earshot token encode --cluster 0 --locator 127.0.0.1:7100`)
    .action(async ({ cluster, locator, nonce = randomInt(MAX_NONCE + 1) }: EncodeFlags) => {
      const keys = await roles.routingKeys(readSecrets());
      const address = await resolveAddress(locator);
      if (address.family !== 4) throw new StartupError(`--locator ${locator} must be an IPv4 address: a token has no room for IPv6.`);
      process.stdout.write(`${keys.encodeUfrag({ cluster, locator: { kind: 0, address }, nonce })}\n`);
    });
  token
    .command('decode')
    .argument('<ufrag>', 'the ICE ufrag, or a STUN username that begins with it')
    .summary('read a routing token')
    .description('Prints what a relay reads in an ICE ufrag: where the packets of the call go.')
    .addHelpText('after', `${SECRET_HELP}\n\nExample:\n  earshot token decode "$UFRAG"`)
    .action(async (username: string) => {
      const [ufrag] = username.split(':', 1);
      const fields = (await roles.routingKeys(readSecrets())).decodeUfragText(ufrag);
      if (!fields) throw new StartupError(`"${ufrag}" is no routing token made under EARSHOT_SECRET or EARSHOT_SECRET_PREVIOUS.`);
      process.stdout.write(describe(fields));
    });
}

function describe(fields: RoutingTokenFields | TicketTokenFields): string {
  if ('issuedAt' in fields) {
    return `cluster  ${fields.cluster}\nissued   ${new Date(fields.issuedAt * 1000).toISOString()}, for any transceiver of the cluster\n`;
  }
  const { cluster, locator, nonce } = fields;
  const text = locator.kind === 0 ? formatAddress(locator.address) : `node ${Buffer.from(locator.nodeId).toString('hex')}`;
  return `cluster  ${cluster}\nlocator  ${text}\nnonce    ${nonce}\n`;
}
