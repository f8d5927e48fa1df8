import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from 'redis';
import { MemoryStore, RedisStore, type TicketStore } from '../../src/store/index.ts';
import { RedisServer } from '../support/redis.ts';

/** What every store does, whatever it is made of. */
function conformance(name: string, open: () => Promise<TicketStore>): void {
  describe(`${name} store`, { timeout: 20_000 }, () => {
    let store: TicketStore;
    before(async () => {
      store = await open();
    });
    after(() => store.close());

    it('gives back what was written, in the order asked, and null for the rest', async () => {
      await store.write([{ key: 'a', value: '1' }, { key: 'b', value: '2' }], 60_000);
      assert.deepEqual(await store.read(['b', 'nobody', 'a', 'b']), ['2', null, '1', '2']);
    });

    it('keeps the latest value', async () => {
      await store.write([{ key: 'c', value: 'old' }], 60_000);
      await store.write([{ key: 'c', value: 'new' }], 60_000);
      assert.deepEqual(await store.read(['c']), ['new']);
    });

    it('forgets an entry after its time, and not before when it was written again', async () => {
      await store.write([{ key: 'brief', value: 'x' }, { key: 'renewed', value: 'y' }], 40);
      await store.write([{ key: 'renewed', value: 'y' }], 60_000);
      while ((await store.read(['brief']))[0] !== null) await delay(10);
      assert.deepEqual(await store.read(['brief', 'renewed']), [null, 'y']);
    });

    it('lets one of many claim a key, and tells the others who it was', async () => {
      const claims = await Promise.all(['p', 'q', 'r'].map((name) => store.claim('claimed', name, 60_000)));
      assert.equal(new Set(claims).size, 1);
      assert.deepEqual(await store.read(['claimed']), [claims[0]]);
      assert.equal(await store.claim('claimed', claims[0], 60_000), claims[0]);
    });

    it('lets a claim lapse', async () => {
      await store.claim('lapsing', 'p', 40);
      while ((await store.claim('lapsing', 'q', 60_000)) !== 'q') await delay(10);
    });

    it('takes a thousand entries at once', async () => {
      const entries = Array.from({ length: 1000 }, (_, i) => ({ key: `many ${i}`, value: String(i) }));
      await store.write(entries, 60_000);
      const values = await store.read(entries.map(({ key }) => key));
      assert.deepEqual(values, entries.map(({ value }) => value));
    });
  });
}

conformance('memory', async () => new MemoryStore());

describe('memory store', () => {
  it('forgets what was written longest ago when it is full', async () => {
    const store = new MemoryStore(2);
    await store.write([{ key: 'a', value: '1' }, { key: 'b', value: '2' }], 60_000);
    await store.write([{ key: 'a', value: '3' }, { key: 'c', value: '4' }], 60_000);
    assert.deepEqual(await store.read(['a', 'b', 'c']), ['3', null, '4']);
  });
});

let redis: RedisServer;
before(async () => {
  redis = await RedisServer.start();
});
after(() => redis.kill());

conformance('Redis', async () => connected(redis.url));

describe('Redis store without Redis', { timeout: 30_000 }, () => {
  it('fails at once while it is away, and goes on by itself when it is back', async () => {
    await using server = await RedisServer.start();
    const states: boolean[] = [];
    const store = await connected(server.url, (state) => states.push(state));
    try {
      await server.kill();
      while (states.at(-1) !== false) await delay(5);
      await assert.rejects(store.read(['a']));
      await assert.rejects(store.write([{ key: 'a', value: '1' }], 60_000));
      await server.start();
      while (states.at(-1) !== true) await delay(5);
      await store.write([{ key: 'a', value: '1' }], 60_000);
      assert.deepEqual(await store.read(['a']), ['1']);
      assert.deepEqual(states, [true, false, true]);
    } finally {
      await store.close();
    }
  });

  it('gives up on a server that says nothing, and goes on when it speaks', async () => {
    await using server = await RedisServer.start();
    const store = await connected(server.url);
    try {
      server.freeze();
      await assert.rejects(store.read(['a']), /has not answered/);
      server.thaw();
      while ((await store.read(['a']).catch(() => 'failed')) === 'failed') await delay(20);
    } finally {
      await store.close();
    }
  });

  it('fails to write to a server that is full, and reads on', async () => {
    await using server = await RedisServer.start();
    const store = await connected(server.url);
    const operator = createClient({ url: server.url });
    await operator.connect();
    try {
      await store.write([{ key: 'a', value: '1' }], 60_000);
      await operator.configSet('maxmemory', '1');
      await assert.rejects(store.write([{ key: 'b', value: '2' }], 60_000));
      assert.deepEqual(await store.read(['a', 'b']), ['1', null]);
    } finally {
      operator.destroy();
      await store.close();
    }
  });

  it('is closed twice, and before it ever connected', async () => {
    const store = new RedisStore('redis://127.0.0.1:1');
    await store.close();
    await store.close();
    await assert.rejects(store.read(['a']));
  });
});

async function connected(url: string, onState: (connected: boolean) => void = () => undefined): Promise<RedisStore> {
  return new Promise((resolve) => {
    const store: RedisStore = new RedisStore(url, (state) => {
      onState(state);
      if (state) resolve(store);
    });
  });
}
