import type { RelayOptions, RelayRole, Roles, RoutingTokenFields, TransceiverOptions, TransceiverRole } from '../../src/cli/roles.ts';
import type { MetricReading } from '../../src/observe/metrics.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { FakeCalls } from '../signaling/harness.ts';

/**
 * Roles that send no packet. They print what they were started with; environment variables say how they misbehave: FAKE_RELAY_ERROR and FAKE_AGENT_ERROR fail the start, FAKE_RELAY_DIES the running, FAKE_LIVE_CALLS keeps a drain waiting.
 */
export const fakeRoles: Roles = {
  async startRelay(options: RelayOptions): Promise<RelayRole> {
    report('relay', options);
    const failure = process.env['FAKE_RELAY_ERROR'];
    if (failure) throw new Error(`${failure}\nand a second line`, { cause: new Error('the cause') });
    const finished = deferred();
    if (process.env['FAKE_RELAY_DIES']) setTimeout(() => finished.reject(new Error('A relay worker has died.')), 50);
    return {
      udp: options.udp.port === 0 ? { ...options.udp, port: 50_000 } : options.udp,
      metrics: () => [{ name: 'earshot_relay_flows', help: 'Flows.', value: 2 }],
      finished: finished.promise,
      takenOver: null,
      handedOver: new Promise(() => undefined),
      predecessorLeft: async () => undefined,
      updateTransceivers: (addresses) => report('transceivers', addresses),
      async drain(timeoutMs) {
        report('relay-draining', { timeoutMs });
        await new Promise((resolve) => setTimeout(resolve, timeoutMs));
      },
      async close() {
        report('closed', 'relay');
        finished.resolve();
      },
    };
  },
  async startTransceiver(options: TransceiverOptions): Promise<TransceiverRole> {
    report('transceiver', options);
    if (process.env['FAKE_AGENT_ERROR']) throw new Error(`The agent "${options.agents.join()}" does not load: no such file.`);
    return new FakeTransceiver();
  },
  async routingKeys({ secret }) {
    return {
      encodeUfrag: (fields: RoutingTokenFields) => `${secret.length}${JSON.stringify(fields)}`.replaceAll(/[^0-9a-z]/g, ''),
      decodeUfragText: (ufrag: string) =>
        ufrag === 'ticket' ? { cluster: 3, issuedAt: 1_767_225_600 } : ufrag === 'good' ? { cluster: 3, locator: { kind: 0, address: { family: 4, ip: Uint8Array.of(127, 0, 0, 1), port: 7100 } }, nonce: 9 } : null,
    };
  },
};

class FakeTransceiver extends FakeCalls implements TransceiverRole {
  ready = true;
  readonly trunk = [parseAddress('127.0.0.1:7100'), parseAddress('127.0.0.1:7101')];
  readonly calls = process.env['FAKE_LIVE_CALLS'] ? 1 : 0;
  readonly capacity = 1000;

  metrics(): MetricReading[] {
    return [{ name: 'earshot_calls', help: 'Calls.', value: this.calls }];
  }

  async drain(timeoutMs: number): Promise<void> {
    this.ready = false;
    report('draining', { timeoutMs });
    if (this.calls > 0) await new Promise((resolve) => setTimeout(resolve, timeoutMs));
  }

  async close(): Promise<void> {
    report('closed', 'transceiver');
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve = (): void => undefined;
  let reject = (_error: Error): void => undefined;
  const promise = new Promise<void>((a, b) => {
    resolve = a;
    reject = b;
  });
  return { promise, resolve, reject };
}

function report(what: string, value: unknown): void {
  process.stdout.write(`@${what} ${JSON.stringify(value, (_, part: unknown) => (part instanceof Uint8Array ? part.join('.') : part))}\n`);
}
