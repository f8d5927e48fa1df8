import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { AddressBook } from '../../src/net/address-book.ts';
import { AddressTable } from '../../src/net/address-table.ts';

describe('address table', () => {
  it('behaves as a Map with least-recently-used eviction, under any sequence of operations', () => {
    const steps = fc.array(
      fc.record({ what: fc.constantFrom('obtain', 'find', 'remove', 'expire'), host: fc.nat(12), port: fc.nat(2) }),
      { maxLength: 120 },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 5), steps, (capacity, grain, list) => {
        const removed: number[] = [];
        const table = new AddressTable({ capacity, grain, onRemove: (slot) => removed.push(slot) });
        // Insertion order is order of use, as far as the grain shows it.
        const model = new Map<string, { slot: number; at: number }>();
        list.forEach(({ what, host, port }, now) => {
          const ip = Uint8Array.of(0, 10, 0, 0, host);
          const key = `${host}:${port}`;
          const known = model.get(key);
          removed.length = 0;
          if (what === 'obtain') {
            const slot = table.obtain(ip, 1, 4, port, now);
            assert.equal(table.inserted, known === undefined);
            if (known) assert.equal(slot, known.slot);
            else if (model.size === capacity) {
              const [oldest, { slot: evicted }] = [...model][0];
              assert.deepEqual(removed, [evicted]);
              model.delete(oldest);
            }
            if (known && now - known.at < grain) return;
            model.delete(key);
            model.set(key, { slot, at: now });
          } else if (what === 'find') assert.equal(table.find(ip, 1, 4, port), known?.slot ?? -1);
          else if (what === 'remove' && known) {
            table.remove(known.slot);
            model.delete(key);
          } else if (what === 'expire') {
            const old = [...model].filter(([, { at }]) => at < now - 10);
            assert.equal(table.expire(now - 10, 3), Math.min(old.length, 3));
            for (const [name] of old.slice(0, 3)) model.delete(name);
          }
          assert.equal(table.size, model.size);
          assert.equal(new Set([...model.values()].map(({ slot }) => slot)).size, model.size);
        });
        for (const [key, { slot }] of model) {
          const [host, port] = key.split(':').map(Number);
          assert.equal(table.find(Uint8Array.of(10, 0, 0, host), 0, 4, port), slot);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('tells families, addresses and ports apart, and takes IPv4-mapped for IPv4', () => {
    const table = new AddressTable({ capacity: 10 });
    const mapped = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1);
    const slot = table.obtain(mapped.subarray(12), 0, 4, 5, 0);
    assert.equal(table.find(mapped, 0, 6, 5), slot);
    assert.equal(table.find(mapped, 0, 6, 6), -1);
    for (let i = 0; i < 16; i++) assert.equal(table.find(mapped.with(i, mapped[i] ^ 1), 0, 6, 5), -1);
  });

  it('loses nobody when full of colliding neighbours that come and go', () => {
    const table = new AddressTable({ capacity: 5000 });
    const ip = new Uint8Array(16);
    for (let round = 0; round < 3; round++) {
      for (let port = 0; port < 5000; port++) table.obtain(ip, 0, 6, port, round);
      for (let port = 0; port < 5000; port += 3) table.remove(table.find(ip, 0, 6, port));
      for (let port = 0; port < 5000; port++) assert.equal(table.find(ip, 0, 6, port) >= 0, port % 3 !== 0);
    }
    assert.equal(table.evictions, 0);
  });
});

describe('address book', () => {
  it('gives one object per sender, with bytes of its own, and forgets the least recent', () => {
    const book = new AddressBook(2);
    const memory = Buffer.of(9, 10, 0, 0, 1);
    const first = book.intern(memory, 1, 4, 5);
    memory[4] = 2;
    assert.deepEqual(first, { family: 4, ip: Uint8Array.of(10, 0, 0, 1), port: 5 });
    assert.notEqual(book.intern(memory, 1, 4, 5), first);
    memory[4] = 1;
    assert.equal(book.intern(memory, 1, 4, 5), first);
    book.intern(memory, 1, 4, 6);
    book.intern(memory, 1, 4, 7);
    assert.notEqual(book.intern(memory, 1, 4, 5), first);
    assert.deepEqual(book.intern(memory, 1, 4, 5), first);
  });
});
