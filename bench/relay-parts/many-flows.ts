import { readFileSync } from 'node:fs';
import { FlowTable } from '../../src/relay/flow-table.ts';
import { type Figure, figure } from '../support/stats.ts';
import { cpuMicros } from './load.ts';
import { type Generator, startRelayProcess, ufragFor } from './processes.ts';

/** By number of flows, ascending. */
export type FlowFigures = readonly {
  readonly flows: number;
  /** Bytes per flow of a table made for that many. */
  readonly tableBytes: number;
  /** Resident memory of a relay that holds them, and knows room for no more. */
  readonly processMiB: number;
  readonly cpuMicros: Figure;
}[];

const COUNTS = [1000, 10_000, 1_000_000];
/** The kernel spreads clients over workers unevenly; so there is one, which holds them all. */
const RELAY = { engine: 'mmsg', workers: 1 } as const;
const RATE = 40_000;
const SECONDS = 2;

/** What many flows cost: each packet comes from the client whose turn was longest ago, the worst for any cache. */
export async function manyFlows(generator: Generator, transceiver: string, rounds: number): Promise<FlowFigures> {
  const relays = [];
  for (const flows of COUNTS) relays.push({ flows, cpu: [] as number[], ...(await startRelayProcess({ ...RELAY, maxFlows: flows })) });
  try {
    for (let round = 0; round < rounds; round++) {
      for (const { flows, cpu, address, process: child } of relays) {
        const task = { relay: address, relayPid: child.pid ?? 0, clients: flows, rate: RATE, seconds: SECONDS };
        cpu.push(cpuMicros(await generator.run({ ...task, ufrag: ufragFor(transceiver) })));
      }
    }
    return relays.map(({ flows, cpu, process: child }) => ({
      flows,
      tableBytes: tableBytes(flows),
      processMiB: residentMiB(child.pid ?? 0),
      cpuMicros: figure(cpu),
    }));
  } finally {
    for (const { process: child } of relays) child.kill();
  }
}

function tableBytes(flows: number): number {
  const before = process.memoryUsage().arrayBuffers;
  const table = new FlowTable(flows);
  const bytes = process.memoryUsage().arrayBuffers - before;
  return bytes / table.capacity;
}

function residentMiB(pid: number): number {
  const [, kib = 'NaN'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kib) / 1024;
}
