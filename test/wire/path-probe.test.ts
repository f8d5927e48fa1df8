import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { PATH_PROBE_BYTES, pathProbeCluster, pathProbeKind, pathProbeNumber, writePathProbe } from '../../src/wire/path-probe.ts';

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

test('what is cut off, or of a kind to come, is none', () => {
  const message = new Uint8Array(PATH_PROBE_BYTES);
  writePathProbe(message, false, 1, 1);
  for (let length = 0; length < PATH_PROBE_BYTES; length++) assert.equal(pathProbeKind(message, 0, length), null);
  for (let kind = 0; kind < 256; kind++) assert.equal(pathProbeKind(message.with(0, kind), 0, PATH_PROBE_BYTES) === null, kind !== 1 && kind !== 2);
});
