import { createClient } from 'redis';
import type { FlowStoreEntry } from './flow-store.ts';
import type { TicketStore } from './ticket-store.ts';

/** No answer within this counts as none. The client's voice has found its way by then. */
const ANSWER_MS = 1000;
const CONNECT_MS = 2000;
const PING_MS = 1000;
/** A connection on which not even a ping is answered for this long is given up. */
const SILENCE_MS = 3000;
const MAX_RETRY_MS = 1000;
const MAX_QUEUED_COMMANDS = 10_000;

/** Entries in Redis. Connects in the background, and again for ever: while it is away every call fails at once. */
export class RedisStore implements TicketStore {
  readonly #client: ReturnType<typeof makeClient>;

  /**
   * Begins to connect and returns at once.
   * @param onState told of each change: connected, or away and why
   * @throws {TypeError} for a URL that is none.
   */
  constructor(url: string, onState: (connected: boolean, reason: string) => void = () => undefined) {
    this.#client = makeClient(url);
    let connected: boolean | null = null;
    const change = (now: boolean, reason: string): void => {
      if (now === connected) return;
      connected = now;
      onState(now, reason);
    };
    this.#client.on('ready', () => change(true, ''));
    this.#client.on('error', (error: Error) => change(false, error.message || ('code' in error ? String(error.code) : error.name)));
    // It retries by itself and tells of every failure as `error`; this rejects when it is closed before it ever connected.
    void this.#client.connect().catch(() => undefined);
  }

  read(keys: readonly string[]): Promise<(string | null)[]> {
    return withinLimit(() => this.#client.mGet([...keys]));
  }

  async write(entries: readonly FlowStoreEntry[], ttlMs: number): Promise<void> {
    const pipeline = this.#client.multi();
    for (const { key, value } of entries) pipeline.set(key, value, { expiration: { type: 'PX', value: ttlMs } });
    await withinLimit(() => pipeline.execAsPipeline());
  }

  async claim(key: string, value: string, ttlMs: number): Promise<string> {
    const there = await withinLimit(() => this.#client.set(key, value, { condition: 'NX', GET: true, expiration: { type: 'PX', value: ttlMs } }));
    return there ?? value;
  }

  async close(): Promise<void> {
    if (this.#client.isOpen) this.#client.destroy();
  }
}

function makeClient(url: string) {
  return createClient({
    url,
    socket: {
      connectTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      reconnectStrategy: (retries) => Math.min(MAX_RETRY_MS, 50 * 2 ** Math.min(retries, 5)),
    },
    pingInterval: PING_MS,
    // What cannot be sent now is of no use later.
    disableOfflineQueue: true,
    commandsQueueMaxLength: MAX_QUEUED_COMMANDS,
  });
}

async function withinLimit<T>(ask: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Redis has not answered within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    return await Promise.race([ask(), late]);
  } finally {
    clearTimeout(timer);
  }
}
