import { type RelayOptions, startRelay } from '../../src/relay/index.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

/** A relay in a process of its own, so that its CPU time can be told apart. Ends with its parent. */
const [secret, engine] = process.argv.slice(2) as [string, NonNullable<RelayOptions['engine']>];
const loopback = parseAddress('127.0.0.1:0');
const relay = await startRelay({ udp: loopback, trunk: loopback, secret, engine });
process.once('disconnect', () => void relay.close());
process.send?.(formatAddress(relay.udp));
