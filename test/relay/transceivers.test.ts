import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { mergeTransceiverReports, SETTLING_S, TransceiverWorkers } from '../../src/relay/transceivers.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { readEndpoint4 } from '../../src/wire/locator.ts';
import { WORKER_REPORT_BYTES, writeWorkerReport } from '../../src/wire/path-probe.ts';
import { seededBytes } from '../support/random.ts';
import { endpoint } from './support/virtual-trunk.ts';

const CLUSTER = 3;
/** When everything here is ready, and when tickets are issued that know all of it; Unix seconds. */
const READY = 1_000_000;
const LATER = READY + SETTLING_S;

interface Process {
  readonly ip: string;
  readonly workers?: number;
  readonly readySince?: number;
}

/** Transceivers in virtual time, which answer at once, as one relay worker sees them. */
class View {
  now = 0;
  readonly workers: TransceiverWorkers;
  readonly processes: Process[];
  /** Addresses of workers that are silent, or full. */
  readonly dead = new Set<string>();
  readonly full = new Set<string>();
  cluster = CLUSTER;
  /** Probes so far, by address. */
  readonly probed = new Map<string, number>();
  readonly #listed: string[];

  constructor(processes: readonly Process[]) {
    this.processes = [...processes];
    this.#listed = processes.map(({ ip }) => ip);
    this.workers = new TransceiverWorkers(CLUSTER, this.#addresses(), 0);
  }

  #addresses(): ReturnType<typeof parseAddress>[] {
    return this.#listed.map((ip) => parseAddress(`${ip}:7100`));
  }

  list(...ips: string[]): void {
    this.#listed.splice(0, this.#listed.length, ...ips);
    this.workers.update(this.#addresses(), this.now);
  }

  run(milliseconds: number): this {
    for (const end = this.now + milliseconds; this.now < end; this.now++) {
      if (this.now < this.workers.nextAt) continue;
      while (this.workers.poll(this.now)) this.#answer(readEndpoint4(this.workers.endpoint, 0), this.workers.probeNumber);
    }
    return this;
  }

  /** All are known. */
  settle(): this {
    return this.run(1500);
  }

  choose(ticket: number, issuedAt = LATER): string | null {
    return this.workers.choose(token(ticket), issuedAt) ? this.#chosen() : null;
  }

  next(from: string, ticket: number, issuedAt = LATER): string | null {
    return this.workers.next(endpoint(parseAddress(from)), token(ticket), issuedAt) ? this.#chosen() : null;
  }

  conditions(): string[] {
    return this.workers.reports().map(({ address, condition }) => `${address} ${condition}`);
  }

  #chosen(): string {
    return formatAddress(readEndpoint4(this.workers.endpoint, 0));
  }

  #answer(address: ReturnType<typeof parseAddress>, number: number): void {
    const text = formatAddress(address);
    this.probed.set(text, (this.probed.get(text) ?? 0) + 1);
    const process = this.processes.find(({ ip, workers = 1 }) => text.startsWith(`${ip}:`) && address.port < 7100 + workers);
    if (process === undefined || this.dead.has(text)) return;
    const { workers = 1, readySince = READY } = process;
    const report = new Uint8Array(WORKER_REPORT_BYTES);
    writeWorkerReport(report, { accepting: !this.full.has(text), cluster: this.cluster, workers, readySince }, number);
    this.workers.answer(endpoint(address), report, 0, this.now);
  }
}

const ips = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
const some = (count: number): Process[] => ips(count).map((ip) => ({ ip }));
const TICKETS = Array.from({ length: 200 }, (_, i) => i);

/** The 17 bytes of a ticket's token: cipher text. */
function token(ticket: number): Uint8Array {
  const bytes = new Uint8Array(17);
  seededBytes(ticket)(bytes);
  return bytes;
}

describe('the choice of a transceiver', () => {
  it('shares the tickets out evenly', () => {
    const view = new View(some(10)).settle();
    const counts = new Map<string | null, number>();
    for (let i = 0; i < 5000; i++) counts.set(view.choose(i), (counts.get(view.choose(i)) ?? 0) + 1);
    assert.equal(counts.size, 10);
    for (const count of counts.values()) assert.ok(count > 400 && count < 600, `${count} of 5000 for one of ten`);
  });

  it('a worker that goes moves its own tickets and no other, and takes them back with its next answer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), fc.nat(11), (count, index) => {
        const view = new View(some(count)).settle();
        const before = TICKETS.map((ticket) => view.choose(ticket));
        const gone = `${ips(count)[index % count]}:7100`;
        view.dead.add(gone);
        view.run(1250);
        for (const ticket of TICKETS) {
          if (before[ticket] === gone) assert.notEqual(view.choose(ticket), gone);
          else assert.equal(view.choose(ticket), before[ticket]);
        }
        view.dead.clear();
        view.run(550);
        assert.deepEqual(TICKETS.map((ticket) => view.choose(ticket)), before);
      }),
      { numRuns: 30 },
    );
  });

  it('a worker that comes moves no ticket that was issued before it was ready, or shortly after', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: SETTLING_S - 1 }), (count, after) => {
        const view = new View(some(count)).settle();
        const cameAt = LATER + 500;
        const before = TICKETS.map((ticket) => view.choose(ticket, cameAt + after));
        view.processes.push({ ip: '10.9.9.9', readySince: cameAt });
        view.list(...ips(count), '10.9.9.9');
        view.settle();
        assert.deepEqual(TICKETS.map((ticket) => view.choose(ticket, cameAt + after)), before);
        const later = TICKETS.map((ticket) => view.choose(ticket, cameAt + SETTLING_S));
        for (const ticket of TICKETS) assert.ok(later[ticket] === before[ticket] || later[ticket] === '10.9.9.9:7100');
        assert.ok(later.includes('10.9.9.9:7100'));
      }),
      { numRuns: 30 },
    );
  });

  it('tickets that are older than all workers have a transceiver nevertheless', () => {
    const view = new View(some(3)).settle();
    for (const ticket of TICKETS) assert.notEqual(view.choose(ticket, READY - 100), null);
  });

  it('is the same in relays that know the same, in whatever order they learned it', () => {
    const processes = ips(9).map((ip, i) => ({ ip, workers: 1 + (i % 3), readySince: READY + 10 * i }));
    const one = new View(processes).settle();
    const other = new View(processes.toReversed().slice(3));
    other.run(300);
    other.processes.push(...processes.slice(0, 3), ...processes.slice(-3));
    other.list(...ips(9).toReversed());
    other.settle();
    for (const ticket of TICKETS) assert.equal(other.choose(ticket, READY + 60), one.choose(ticket, READY + 60));
  });

  it('passes over no worker that is full: the call may be there', () => {
    const view = new View(some(5)).settle();
    const before = TICKETS.map((ticket) => view.choose(ticket));
    for (const ip of ips(4)) view.full.add(`${ip}:7100`);
    view.run(250);
    assert.deepEqual(TICKETS.map((ticket) => view.choose(ticket)), before);
  });

  it('waits until all that are listed have answered, further workers too, or been silent for a second', () => {
    const view = new View([{ ip: '10.0.0.1', workers: 4 }, { ip: '10.0.0.2' }]);
    view.dead.add('10.0.0.2:7100');
    view.run(1000);
    assert.equal(view.choose(1), null);
    view.run(400);
    assert.notEqual(view.choose(1), null);
    assert.deepEqual(view.conditions(), ['10.0.0.1:7100 accepting', '10.0.0.2:7100 dead', '10.0.0.1:7101 accepting', '10.0.0.1:7102 accepting', '10.0.0.1:7103 accepting']);
    const quick = new View(some(20));
    assert.equal(quick.choose(1), null);
    quick.run(1);
    assert.notEqual(quick.choose(1), null);
  });

  it('is none without transceivers, and with none that lives', () => {
    const view = new View([]).settle();
    assert.equal(view.choose(1), null);
    assert.equal(view.workers.nextAt > view.now, true);
    view.processes.push({ ip: '10.0.0.1' });
    view.list('10.0.0.1');
    view.run(10);
    assert.equal(view.choose(1), '10.0.0.1:7100');
    view.dead.add('10.0.0.1:7100');
    view.run(1250);
    assert.equal(view.choose(1), null);
  });
});

describe('handing a ticket on', () => {
  it('visits every worker that takes calls once and ends, whoever is asked first', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(4095), fc.nat(4095), fc.nat(0xffff), (count, dead, full, ticket) => {
        const processes = ips(count).map((ip, i) => ({ ip, readySince: READY + (i % 2) * 1000 }));
        const view = new View(processes).settle();
        for (const [i, ip] of ips(count).entries()) {
          if ((dead >> i) & 1) view.dead.add(`${ip}:7100`);
          else if ((full >> i) & 1) view.full.add(`${ip}:7100`);
        }
        view.run(1250);
        const visited: string[] = [];
        for (let at = view.choose(ticket); at !== null; at = view.next(at, ticket)) visited.push(at);
        assert.deepEqual(visited, [...new Set(visited)]);
        const open = ips(count).map((ip) => `${ip}:7100`).filter((address) => !view.dead.has(address) && !view.full.has(address));
        assert.deepEqual(visited.filter((address) => !view.full.has(address)).toSorted(), open.toSorted());
        assert.ok(visited.slice(1).every((address) => !view.full.has(address)), 'only the first may be full');
      }),
      { numRuns: 200 },
    );
  });

  it('ends at one that is not known', () => {
    assert.equal(new View(some(3)).settle().next('10.9.9.9:7100', 1), null);
  });
});

describe('what is known of transceivers', () => {
  it('a worker is dead within a second of silence, whenever it falls silent', () => {
    for (let phase = 0; phase < 200; phase += 19) {
      const view = new View(some(2)).settle().run(phase);
      view.dead.add('10.0.0.1:7100');
      const since = view.now;
      while (!view.conditions().includes('10.0.0.1:7100 dead')) view.run(5);
      assert.ok(view.now - since > 600 && view.now - since <= 1050, `after ${view.now - since} ms`);
    }
  });

  it('further workers come from the report of the first, and go with it', () => {
    const view = new View([{ ip: '10.0.0.1', workers: 3 }]).settle();
    assert.equal(view.conditions().length, 3);
    view.processes.splice(0, 1, { ip: '10.0.0.1', workers: 2, readySince: READY + 99 });
    view.run(2000);
    assert.deepEqual(view.conditions(), ['10.0.0.1:7100 accepting', '10.0.0.1:7101 accepting']);
  });

  it('one that is listed no more stays for as long as it answers, and is forgotten a minute later', () => {
    const view = new View(some(3)).settle();
    const before = TICKETS.map((ticket) => view.choose(ticket));
    view.list('10.0.0.0', '10.0.0.1');
    view.run(90_000);
    assert.deepEqual(TICKETS.map((ticket) => view.choose(ticket)), before);
    view.dead.add('10.0.0.2:7100');
    view.run(1250);
    assert.equal(view.conditions().length, 2);
    assert.equal(view.workers.lives(endpoint(parseAddress('10.0.0.2:7100')), 0), false);
    view.run(60_000);
    const probed = view.probed.get('10.0.0.2:7100');
    view.run(60_000);
    assert.equal(view.probed.get('10.0.0.2:7100'), probed);
    view.dead.clear();
    view.list(...ips(3));
    view.settle();
    assert.deepEqual(TICKETS.map((ticket) => view.choose(ticket)), before);
  });

  it('one of another cluster is none', () => {
    const view = new View(some(2));
    view.cluster = CLUSTER + 1;
    view.settle();
    assert.equal(view.choose(1), null);
    assert.deepEqual(view.conditions(), ['10.0.0.0:7100 dead', '10.0.0.1:7100 dead']);
  });

  it('hundreds are probed five times a second each, in a tenth as many turns', () => {
    const view = new View(ips(100).map((ip) => ({ ip, workers: 4 }))).settle();
    view.probed.clear();
    let turns = 0;
    for (const end = view.now + 10_000; view.now < end; view.run(1)) if (view.now >= view.workers.nextAt) turns++;
    assert.equal(view.probed.size, 400);
    for (const count of view.probed.values()) assert.ok(count >= 40 && count <= 51, `${count} probes in ten seconds`);
    assert.ok(turns <= 500, `${turns} turns`);
  });

  it('of several relay workers the worst word counts', () => {
    const of = (address: string, condition: 'accepting' | 'full' | 'dead'): { address: string; condition: typeof condition } => ({ address, condition });
    assert.deepEqual(mergeTransceiverReports([of('a', 'accepting'), of('b', 'full'), of('a', 'dead'), of('b', 'accepting')]), [of('a', 'dead'), of('b', 'full')]);
  });
});
