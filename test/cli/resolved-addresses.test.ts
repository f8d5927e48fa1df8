import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { ResolvedAddresses } from '../../src/cli/resolved-addresses.ts';
import { createLogger } from '../../src/observe/log.ts';
import { formatAddress, type TransportAddress } from '../../src/wire/address.ts';

/** A name server whose answers change; it tells of each question. */
class Names extends EventEmitter {
  readonly records: Record<string, string[]> = {};

  readonly lookup = async (host: string): Promise<string[]> => {
    setImmediate(() => this.emit('asked'));
    const found = this.records[host];
    if (found === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
    return found;
  };

  /** A question has been asked and answered after now. */
  async round(): Promise<void> {
    await once(this, 'asked');
    await once(this, 'asked');
  }
}

describe('addresses that are followed', () => {
  let names: Names;
  let log: string[];
  let opened: ResolvedAddresses[];
  /** To follow names keeps no process alive. */
  const alive = setInterval(() => undefined, 1000);
  after(() => clearInterval(alive));
  beforeEach(() => {
    names = new Names();
    log = [];
    opened = [];
  });
  afterEach(() => opened.forEach((addresses) => addresses.close()));

  const open = async (...texts: string[]): Promise<ResolvedAddresses> => {
    const logger = createLogger({ level: 'info', pretty: false, write: (line) => log.push(line) });
    const addresses = await ResolvedAddresses.open(texts, logger, names.lookup, 1);
    opened.push(addresses);
    return addresses;
  };
  const shown = (addresses: readonly TransportAddress[]): string[] => addresses.map(formatAddress);

  it('are all that a name has, with those that were given as such, each once', async () => {
    names.records['voice'] = ['10.0.0.1', '10.0.0.2'];
    names.records['media'] = ['10.0.0.2'];
    const addresses = await open('voice:7100', '10.0.0.9:7200', 'media:7100', '10.0.0.2:7300');
    assert.deepEqual(shown(addresses.current), ['10.0.0.1:7100', '10.0.0.2:7100', '10.0.0.9:7200', '10.0.0.2:7300']);
  });

  it('change when the name does, which is told once', async () => {
    names.records['voice'] = ['10.0.0.1'];
    const addresses = await open('voice:7100');
    const told: string[][] = [];
    addresses.onChange((changed) => told.push(shown(changed)));
    await names.round();
    names.records['voice'] = ['10.0.0.2', '10.0.0.1'];
    await names.round();
    names.records['voice'] = ['10.0.0.1', '10.0.0.2'];
    await names.round();
    assert.deepEqual(told, [['10.0.0.2:7100', '10.0.0.1:7100']]);
  });

  it('stay while the name cannot be resolved, with one warning, and come late if it could not be at the start', async () => {
    names.records['voice'] = ['10.0.0.1'];
    const addresses = await open('voice:7100', 'late:7100');
    const told: string[][] = [];
    addresses.onChange((changed) => told.push(shown(changed)));
    delete names.records['voice'];
    for (let i = 0; i < 3; i++) await names.round();
    assert.deepEqual(shown(addresses.current), ['10.0.0.1:7100']);
    assert.deepEqual(log.filter((line) => line.includes('cannot be resolved')).map((line) => /"host":"(\w+)"/.exec(line)?.[1]), ['late', 'voice']);
    names.records['late'] = ['10.0.0.3'];
    names.records['voice'] = ['10.0.0.1'];
    for (let i = 0; i < 2; i++) await names.round();
    assert.deepEqual(told, [['10.0.0.1:7100', '10.0.0.3:7100']]);
    assert.equal(log.filter((line) => line.includes('resolved again')).length, 2);
  });

  it('are not asked for when there is no name, nor after the end', async () => {
    let asked = 0;
    names.on('asked', () => asked++);
    await open('10.0.0.1:7100');
    names.records['voice'] = ['10.0.0.1'];
    const addresses = await open('voice:7100');
    await names.round();
    addresses.close();
    const before = asked;
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    assert.ok(asked - before <= 1, 'but for a question under way');
  });
});
