import { LOCATOR_BYTES } from '../wire/locator.ts';
import type { RelayCore } from './core.ts';
import { FLOW_RECORD_BYTES, FLOW_TARGET_OFFSET, flowRecordPort, writeFlowRecord } from './flow-record.ts';
import type { FlowTable } from './flow-table.ts';

/** All flows of one worker. Tokens are left out: the next check of each client shows its own again. */
export interface FlowList {
  /** Flow records: least recently used first, and those last that a transceiver has vouched for. */
  readonly records: Uint8Array;
  /** How many of them are vouched for. */
  readonly vouched: number;
}

export function listFlows(flows: FlowTable): FlowList {
  const client = new Uint8Array(16);
  const records = new Uint8Array(flows.size * FLOW_RECORD_BYTES);
  const write = (flow: number, at: number): void => {
    const port = flows.readClient(flow, client, 0);
    writeFlowRecord(records, at * FLOW_RECORD_BYTES, client, 0, 6, port, flows.targets, flow * LOCATOR_BYTES);
  };
  let vouched = 0;
  flows.forEach((flow) => {
    if (flows.isVerified(flow)) write(flow, flows.size - ++vouched);
  });
  let at = flows.size - vouched;
  flows.forEach((flow) => {
    if (!flows.isVerified(flow)) write(flow, --at);
  });
  return { records, vouched };
}

/** Gives a core the flows of the worker before it. */
export function takeFlows(core: RelayCore, { records, vouched }: FlowList, now: number): void {
  const vouchedFrom = records.length - vouched * FLOW_RECORD_BYTES;
  for (let at = 0; at < records.length; at += FLOW_RECORD_BYTES) {
    core.handedOver(records, at, 6, flowRecordPort(records, at), records, at + FLOW_TARGET_OFFSET, at >= vouchedFrom, now);
  }
}
