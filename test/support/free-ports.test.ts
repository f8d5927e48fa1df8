import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeTcpPort, freeUdpPort } from './earshot-process.ts';

test('no port is given twice, however many are asked for at once', async () => {
  const ports = (await Promise.all(Array.from({ length: 200 }, async () => [await freeTcpPort(), await freeUdpPort()]))).flat();
  const four = await freeUdpPort(4);
  assert.equal(new Set([...ports, four, four + 1, four + 2, four + 3]).size, 404);
});
