import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  PATH_PROBE_BYTES,
  pathProbeCluster,
  pathProbeKind,
  pathProbeNumber,
  reportAccepting,
  reportReadySince,
  reportWorkers,
  WORKER_REPORT_BYTES,
  writePathProbe,
  writeWorkerReport,
} from '../../src/wire/path-probe.ts';

test('what a relay asks another reads, at any offset', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.nat(0xffff), fc.nat(0xffff_ffff), fc.nat(20), (isEcho, cluster, number, at) => {
      const message = new Uint8Array(PATH_PROBE_BYTES);
      writePathProbe(message, isEcho, cluster, number);
      const data = new Uint8Array(at + PATH_PROBE_BYTES);
      data.set(message, at);
      assert.equal(pathProbeKind(data, at, PATH_PROBE_BYTES), isEcho ? 'echo' : 'probe');
      assert.deepEqual([pathProbeCluster(data, at), pathProbeNumber(data, at)], [cluster, number]);
    }),
  );
});

test('what a transceiver worker reports reads, at any offset', () => {
  const reports = fc.record({ accepting: fc.boolean(), cluster: fc.nat(0xffff), workers: fc.nat(0xffff), readySince: fc.nat(0xffff_ffff) });
  fc.assert(
    fc.property(reports, fc.nat(0xffff_ffff), fc.nat(20), (report, number, at) => {
      const message = new Uint8Array(WORKER_REPORT_BYTES);
      writeWorkerReport(message, report, number);
      const data = new Uint8Array(at + WORKER_REPORT_BYTES);
      data.set(message, at);
      assert.equal(pathProbeKind(data, at, WORKER_REPORT_BYTES), 'report');
      assert.deepEqual([pathProbeCluster(data, at), pathProbeNumber(data, at)], [report.cluster, number]);
      assert.deepEqual(
        [reportAccepting(data, at), reportWorkers(data, at), reportReadySince(data, at)],
        [report.accepting, report.workers, report.readySince],
      );
    }),
  );
});

test('what is cut off, or of a kind to come, is none', () => {
  const message = new Uint8Array(WORKER_REPORT_BYTES);
  for (let length = 0; length < WORKER_REPORT_BYTES; length++) {
    for (let kind = 0; kind < 256; kind++) {
      const isWhole = kind > 0 && kind < 3 && length >= PATH_PROBE_BYTES;
      assert.equal(pathProbeKind(message.with(0, kind), 0, length) !== null, isWhole, `${kind}, ${length} bytes`);
    }
  }
});
