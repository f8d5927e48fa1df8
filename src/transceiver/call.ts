import type { Agent } from '../agents/index.ts';
import { Conversation } from '../conversation/conversation.ts';
import type { ConversationPort } from '../conversation/conversation-port.ts';
import { realtimeDialect } from '../conversation/realtime-dialect.ts';
import type { SessionConfig } from '../conversation/session-schema.ts';
import type { Logger } from '../observe/log.ts';
import type { CallObservation, CallObserver } from '../signaling/call-service.ts';
import type { AnsweringEnd, DataChannel, Session, SessionOutput } from '../webrtc/index.ts';
import type { TransportAddress } from '../wire/address.ts';
import { mediaCounts, type MediaCounts } from './media-metrics.ts';

/** What a call needs of the shard that owns it. */
export interface CallHost {
  /** Milliseconds: the time of the present turn of work, in the clock of every `now`. */
  readonly now: number;
  /** Sends one datagram to the client. */
  transmit(data: Uint8Array, to: TransportAddress): void;
  /** What has been handed to `transmit` leaves at once instead of when this turn of work is done. */
  hurry(): void;
  /** The call has output that nobody is draining: call `drain` soon. */
  touched(call: Call): void;
  /** Ticks the call from now on, once per frame time, as long as it wants that. */
  pace(call: Call): void;
  /** Calls `handleTimeout` once, at that time or soon after; only the last wish counts. */
  wakeAt(call: Call, at: number): void;
  /** The caller has shown who it is. `dtlsInStun`: its handshake came inside of STUN, at least in part. */
  connected(dtlsVersion: string, dtlsInStun: boolean): void;
  /** The call is over; its last datagrams have been handed to `transmit`. Comes once. */
  ended(call: Call, reason: string): void;
}

export interface CallOptions {
  readonly id: string;
  readonly ufrag: string;
  readonly answerer: AnsweringEnd;
  readonly sessionConfig: SessionConfig;
  /** Public relay addresses that the client is told, best first. */
  readonly ingress: readonly TransportAddress[];
  readonly agent: Agent;
  readonly host: CallHost;
  readonly log: Logger;
  readonly now: number;
  /** The longest that the call may last, ms. */
  readonly maxDurationMs: number;
  /** Id of the channel for events, when the client has said it. */
  readonly eventsChannelId: number | null;
}

/** Label of the data channel that carries the protocol's events. A client's first channel does under any label, or the
 *  one that it has declared. */
export const EVENTS_LABEL = 'oai-events';
/** How long a call goes on that its agent has ended, ms: time for its last events, one retransmission included. */
const LINGER_MS = 250;
/** Bytes of events that may wait for a client that takes none: as much as browsers let wait on a channel. */
const MAX_BACKLOG = 16 * 2 ** 20;
/** How long it waits before that for the channel that carries them, when that is not open yet. */
const EVENTS_OPEN_MS = 2_000;

/** Entity tag of an ICE session whose server side has had so many ufrags. */
export function entityTag(ufrags: number): string {
  return `ice-${ufrags}`;
}

/** One call: a WebRTC session, and the conversation that an agent leads over it. */
export class Call implements ConversationPort {
  readonly id: string;
  readonly log: Logger;
  readonly answerer: AnsweringEnd;
  /** Local ufrags by which this call is found: the first, and one more for each ICE restart. */
  readonly ufrags: string[];
  readonly ingress: readonly TransportAddress[];
  readonly #session: Session;
  readonly #host: CallHost;
  readonly #conversation: Conversation;
  readonly #startedAt: number;
  readonly #expiresAt: number;
  /** Told of the end; what they see comes from the conversation. */
  readonly #observers = new Set<CallObserver>();
  #timings: { iceMs: number | null; dtlsMs: number | null; eventsMs: number | null; firstAudioMs: number | null } = {
    iceMs: null, dtlsMs: null, eventsMs: null, firstAudioMs: null,
  };
  /** The agent has been heard. */
  #heard = false;
  readonly #declaredChannel: number | null;
  #security: { dtlsVersion: string; srtpProfile: string | null } | null = null;
  #eventsChannel: number | null = null;
  /** Set once the call is to end: the reason, and when to stop waiting for the last events to arrive. */
  #ending: { reason: string; by: number } | null = null;
  #ended = false;
  #now = Number.NaN;
  /** When the session wants to be called; when the host calls. */
  #deadline = Infinity;
  #wakesAt = Infinity;

  constructor(options: CallOptions) {
    this.id = options.id;
    this.ufrags = [options.ufrag];
    this.answerer = options.answerer;
    this.ingress = options.ingress;
    this.#session = options.answerer.session;
    this.log = options.log;
    this.#host = options.host;
    this.#startedAt = options.now;
    this.#expiresAt = options.now + options.maxDurationMs;
    this.#now = options.now;
    this.#declaredChannel = options.eventsChannelId;
    this.#conversation = new Conversation({
      callId: options.id,
      agent: options.agent,
      session: options.sessionConfig,
      dialect: realtimeDialect,
      port: this,
      now: options.now,
      log: {
        info: (message, fields = {}) => options.log.info({ agent: options.agent.name, ...fields }, message),
        error: (message, error) => options.log.error({ agent: options.agent.name, err: error }, message),
      },
    });
  }

  /** Entity tag of the ICE session: changes with each ICE restart. */
  get etag(): string {
    return entityTag(this.ufrags.length);
  }

  /** To be followed by `drain`. @returns true when the datagram authenticated. */
  handleDatagram(data: Uint8Array, from: TransportAddress, now: number): boolean {
    this.#now = now;
    return this.#session.handleDatagram(data, from, now);
  }

  /** Whether {@link tick} has anything to do; the host is told when it has again. */
  get wantsTick(): boolean {
    return this.#conversation.wantsTick;
  }

  /** To be called once per frame time while {@link wantsTick}: paces the agent's audio. */
  tick(now: number): void {
    this.#now = now;
    this.#conversation.tick(now);
  }

  /** Runs the timers that are due. */
  handleTimeout(now: number): void {
    this.#now = now;
    this.#wakesAt = Infinity;
    if (now >= this.#expiresAt && this.#ending === null) this.#conversation.expire(now);
    if (this.#ending && now >= this.#ending.by) this.#session.close(now);
    if (now >= this.#deadline) this.#session.handleTimeout(now);
    this.drain(now);
  }

  /** To be called when nothing is due: does ahead what the next `tick` would have to wait for. */
  prepare(): void {
    this.#conversation.prepare();
  }

  /** Acts on everything that the session has to say. */
  drain(now: number): void {
    if (this.#ended) return;
    this.#now = now;
    let output = this.#session.poll();
    for (; output.type !== 'timeout'; output = this.#session.poll()) this.#act(output);
    this.#deadline = output.at;
    if (this.#session.closed) {
      this.#finish();
      return;
    }
    const at = Math.min(this.#deadline, this.#ending?.by ?? this.#expiresAt);
    // A later one is seen to when the earlier has come: most deadlines move on with each packet.
    if (at >= this.#wakesAt) return;
    this.#wakesAt = at;
    this.#host.wakeAt(this, at);
  }

  /** The server stops when `withinMs` have passed: for the agent to know. */
  announceStop(withinMs: number, now: number): void {
    this.#now = now;
    this.#conversation.drain(withinMs, now);
    this.#host.touched(this);
  }

  /** Says goodbye and ends the call. Idempotent. */
  close(reason: string, now: number): void {
    this.#now = now;
    this.#ending ??= { reason, by: now };
    this.#session.close(now);
    this.drain(now);
  }

  /** Ends the call without a word to the client, who is another's. */
  abandon(reason: string, now: number): void {
    if (this.#ended) return;
    this.#now = now;
    this.#ending = { reason, by: now };
    this.#finish();
  }

  /** Shows somebody the call's events until what it gives is told to stop, or the call ends. */
  observe(observer: CallObserver): CallObservation {
    const receive = (json: string): void => observer.event(json);
    this.#observers.add(observer);
    const unobserve = this.#conversation.observe(receive);
    return {
      send: (json) => {
        this.#now = this.#host.now;
        this.#conversation.handleEvent(json, this.#now, receive);
      },
      stop: () => {
        unobserve();
        this.#observers.delete(observer);
      },
    };
  }

  // What the conversation asks of the call.

  get now(): number {
    return this.#host.now;
  }

  wake(): void {
    this.#host.pace(this);
  }

  get unmendedLoss(): number | null {
    const { audio } = this.answerer.negotiated;
    return audio !== null && audio.redPayloadType === null && audio.opus.useInbandFec ? this.#session.remoteLoss : null;
  }

  sendAudio(opus: Uint8Array, mediaTime: number, _duration: number, marker: boolean): void {
    this.#now = this.#host.now;
    if (!this.#heard) {
      this.#heard = true;
      this.#timings.firstAudioMs = this.#sinceStart();
    }
    this.#session.sendAudio(opus, mediaTime, marker, this.#now);
    this.#host.touched(this);
  }

  sendEvent(json: string): boolean {
    if (this.#eventsChannel === null) return true;
    this.#now = this.#host.now;
    if (this.#session.bufferedAmount(this.#eventsChannel) > MAX_BACKLOG) {
      this.hangup('events_backlog');
      return true;
    }
    try {
      this.#session.sendMessage(this.#eventsChannel, json, this.#now);
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
    this.#host.touched(this);
    return true;
  }

  /** The agent ends the call: its last events get time to arrive, also when their channel is yet to open. */
  hangup(reason: string): void {
    if (this.#ending || this.#ended) return;
    const wait = this.#eventsChannel !== null ? LINGER_MS : this.answerer.negotiated.data ? EVENTS_OPEN_MS : 0;
    this.#ending = { reason, by: this.#host.now + wait };
    this.#host.touched(this);
  }

  /** What was counted so far. */
  get mediaCounts(): MediaCounts {
    return mediaCounts(this.#session.stats(), this.#conversation.counters);
  }

  dump(): object {
    return {
      id: this.id,
      ageMs: this.#sinceStart(),
      timings: { ...this.#timings },
      security: this.#security,
      ending: this.#ending?.reason ?? null,
      session: this.#session.dump(),
      conversation: this.#conversation.dump(),
    };
  }

  #act(output: Exclude<SessionOutput, { type: 'timeout' }>): void {
    switch (output.type) {
      case 'transmit':
        this.#host.transmit(output.data, output.to);
        break;
      case 'audio':
        this.#conversation.handleAudio(output.payload, output.sequence, output.timestamp, this.#now);
        break;
      case 'ice-connected':
        this.#timings.iceMs = this.#sinceStart();
        break;
      case 'connected':
        this.#timings.dtlsMs = this.#sinceStart();
        this.#security = { dtlsVersion: output.dtlsVersion, srtpProfile: output.srtpProfile };
        this.#host.connected(output.dtlsVersion, output.dtlsInStun);
        break;
      case 'ready-to-send':
        // The caller has work to do with our flight: it need not wait until the agent is there.
        this.#host.hurry();
        this.#conversation.open(this.#now);
        break;
      case 'channel':
        if (this.#isForEvents(output.channel)) this.#openEvents(output.channel.id);
        break;
      case 'message':
        if (output.channelId === this.#eventsChannel && typeof output.data === 'string') {
          this.#conversation.handleEvent(output.data, this.#now);
        }
        break;
      case 'channel-closed':
        if (output.channelId === this.#eventsChannel) this.#eventsChannel = null;
        break;
      case 'closed':
        this.#ending ??= { reason: output.reason, by: this.#now };
        break;
    }
  }

  #isForEvents({ id, label }: DataChannel): boolean {
    if (this.#declaredChannel !== null) return id === this.#declaredChannel;
    return this.#eventsChannel === null || label === EVENTS_LABEL;
  }

  #openEvents(channelId: number): void {
    this.#eventsChannel = channelId;
    this.#timings.eventsMs = this.#sinceStart();
    this.#conversation.eventsOpen(this.#now);
    if (this.#ending) this.#ending = { ...this.#ending, by: this.#now + LINGER_MS };
  }

  #finish(): void {
    this.#ended = true;
    const reason = this.#ending?.reason ?? 'closed-locally';
    this.#conversation.close(reason, this.#now);
    for (const observer of this.#observers) observer.ended(reason);
    this.log.info({ reason, ageMs: this.#sinceStart(), ...this.#timings, ...this.#security, rtp: this.#session.stats() }, 'call ended');
    this.#session.dispose();
    this.#host.ended(this, reason);
  }

  #sinceStart(): number {
    return Math.round(this.#now - this.#startedAt);
  }
}
