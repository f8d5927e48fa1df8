import type { TestContext } from 'node:test';
import { startTransceiver, type Transceiver, type TransceiverOptions } from '../../src/transceiver/index.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { SECRET } from './test-relay.ts';

/** A transceiver with one worker and the agent `echo`, unless said otherwise; it goes with the test. */
export async function start(t: TestContext, options: Partial<TransceiverOptions> = {}): Promise<Transceiver> {
  const transceiver = await startTransceiver({
    trunk: parseAddress('127.0.0.1:0'),
    ingress: [parseAddress('127.0.0.1:3478')],
    secret: SECRET,
    agents: ['echo'],
    workers: 1,
    logLevel: 'silent',
    ...options,
  });
  t.after(() => transceiver.close());
  return transceiver;
}
