import assert from 'node:assert/strict';
import type { Agent } from '../../src/agents/agent.ts';
import { Conversation } from '../../src/conversation/conversation.ts';
import type { NewDialect } from '../../src/conversation/dialect.ts';
import { realtimeDialect } from '../../src/conversation/realtime-dialect.ts';
import { sessionConfigSchema } from '../../src/conversation/session-schema.ts';
import { FRAME_DURATION } from '../media/wav.ts';

export interface SentFrame {
  readonly at: number;
  readonly opus: Uint8Array;
  readonly mediaTime: number;
  readonly duration: number;
  readonly marker: boolean;
}

export interface SentEvent {
  readonly at: number;
  readonly type: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- events are read loosely here, as a client would
  readonly [field: string]: any;
}

/** A call in virtual time: the caller's packets go in every 20 ms, what leaves is recorded. */
export class TestCall {
  readonly conversation: Conversation;
  readonly frames: SentFrame[] = [];
  readonly events: SentEvent[] = [];
  readonly hangups: string[] = [];
  /** What the caller reports of packets lost, 0 to 1. */
  unmendedLoss: number | null = null;
  readonly logged: unknown[] = [];
  /** What the agent wrote to the log. */
  readonly said: object[] = [];
  /** Bytes that the client's data channel takes in one message. */
  maxEvent = 262_144;
  /** Where events go besides, for a real client. */
  deliver: (json: string) => void = () => {};
  now = 1000;
  ticks = 0;
  /** As a shard does it: ticks from when they are wanted until they are not. */
  #awake = false;
  #sequence = 65_530;
  #timestamp = 4_294_960_000;

  constructor(agent: Agent, session: unknown = { type: 'realtime' }, dialect: NewDialect = realtimeDialect) {
    const unmendedLoss = (): number | null => this.unmendedLoss;
    const now = (): number => this.now;
    this.conversation = new Conversation({
      callId: 'rtc_test',
      agent,
      dialect,
      session: sessionConfigSchema.parse(session),
      now: this.now,
      port: {
        get now() {
          return now();
        },
        get unmendedLoss() {
          return unmendedLoss();
        },
        sendAudio: (opus, mediaTime, duration, marker) => {
          this.frames.push({ at: this.now, opus: opus.slice(), mediaTime, duration, marker });
        },
        sendEvent: (json) => {
          if (Buffer.byteLength(json) > this.maxEvent) return false;
          this.events.push({ ...(JSON.parse(json) as { type: string }), at: this.now });
          this.deliver(json);
          return true;
        },
        wake: () => {
          this.#awake = true;
        },
        hangup: (reason) => this.hangups.push(reason),
      },
      log: {
        info: (message, fields) => this.said.push({ message, ...fields }),
        error: (_message, error) => this.logged.push(error),
      },
    });
  }

  /** Both audio and events up, and the agent there. */
  async start(): Promise<this> {
    this.conversation.open(this.now);
    this.conversation.eventsOpen(this.now);
    await settled();
    return this;
  }

  /** The caller sends these packets in real time; null is a packet that is never sent. */
  async say(packets: Iterable<Uint8Array | null>): Promise<void> {
    for (const packet of packets) {
      if (packet !== null) {
        this.conversation.handleAudio(packet, this.#sequence, this.#timestamp, this.now);
        this.#sequence++;
      }
      this.#timestamp += FRAME_DURATION;
      await this.step();
    }
  }

  /** Time passes without a packet. */
  async wait(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 20) {
      this.#timestamp += FRAME_DURATION;
      await this.step();
    }
  }

  async step(): Promise<void> {
    this.now += 20;
    assert.ok(this.#awake || !this.conversation.wantsTick, 'whoever wants ticks has said so');
    if (this.#awake) {
      this.ticks++;
      this.conversation.tick(this.now);
      this.#awake = this.conversation.wantsTick;
    }
    this.conversation.prepare();
    await settled();
  }

  send(event: object): void {
    this.conversation.handleEvent(JSON.stringify(event), this.now);
  }

  types(): string[] {
    return this.events.map((event) => event.type);
  }

  find(type: string): SentEvent {
    const event = this.events.find((candidate) => candidate.type === type);
    assert.ok(event, `no ${type} among ${this.types().join(', ')}`);
    return event;
  }

  last(type: string): SentEvent {
    const event = this.events.findLast((candidate) => candidate.type === type);
    assert.ok(event, `no ${type} among ${this.types().join(', ')}`);
    return event;
  }
}

/** Lets promises of the agent settle. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await Promise.resolve();
}
