import { randomFillSync } from 'node:crypto';
import { loadAgents, type Agent } from '../agents/index.ts';
import type { SessionConfig } from '../conversation/session-schema.ts';
import { openUdpSocket } from '../net/open-udp-socket.ts';
import { TrunkBundler } from '../net/trunk-bundler.ts';
import type { UdpSocket, UdpSocketHandler } from '../net/udp-socket.ts';
import { createLogger, type Logger } from '../observe/log.ts';
import type { MetricReading } from '../observe/metrics.ts';
import { threadTime } from '../observe/thread-time.ts';
import {
  CallError,
  type CallAnswer,
  type CallObservation,
  type CallObserver,
  type CallRequest,
  type IceUpdate,
} from '../signaling/call-service.ts';
import { DtlsCertificate, loadSrtpCiphers, Offerer, warmUpCall, type Answerer, type AnsweringEnd, type KeyShare, type SrtpCiphers } from '../webrtc/index.ts';
import { parseAddress, type TransportAddress } from '../wire/address.ts';
import { pathProbeKind, pathProbeNumber, WORKER_REPORT_BYTES, writeWorkerReport } from '../wire/path-probe.ts';
import { UFRAG_LENGTH } from '../wire/routing-token.ts';
import { StunUsernameReader } from '../wire/stun-username.ts';
import { TrunkCookies, TrunkReader, type TrunkError } from '../wire/trunk.ts';
import { answerOffer, answerRestart, resumeAnswer } from './answer.ts';
import { Call, entityTag, EVENTS_LABEL, type CallHost, type CallOptions } from './call.ts';
import { CallPreparation, type PreparedCall } from './call-preparation.ts';
import { ClientPaths, type ClientPath } from './client-paths.ts';
import { DatagramScratch } from './datagram-scratch.ts';
import { MediaClock } from './media-clock.ts';
import { MediaTotals } from './media-metrics.ts';
import type { ShardOptions } from './protocol.ts';
import { ShardCounters } from './shard-metrics.ts';
import { TicketDesk, type TicketVerdict } from './ticket-desk.ts';
import { TicketOffice } from './ticket-office.ts';
import { TimerWheel } from './timer-wheel.ts';

/** Calls with itself that a shard places at the start: some 150 ms of work, in turns of some 8. */
const WARM_UP_CALLS = 20;

/** What a shard has to say to the thread that it works for. */
export interface ShardEvents {
  /** A ticket has become a call: to be claimed until it expires (Unix seconds), and for as long as the call may last. */
  ticketUsed(callId: string, ufrag: string, expiresAt: number): void;
  callEnded(callId: string): void;
  /** To be answered by `sessionFetched`. */
  fetchSession(name: string): void;
}

/**
 * Opens the trunk socket, loads the agent and the certificate.
 * @throws when the port is in use or the agent does not load; the message says what to do.
 */
export async function openShard(options: ShardOptions, events: ShardEvents): Promise<Shard> {
  const log = createLogger({ level: options.logLevel }).child({ shard: options.index });
  // One after the other: a thread that ends because of its agent must have no key generation under way (Node aborts).
  const agents = await loadAgents(options.agents, { settings: options.agentSettings });
  const certificate = await DtlsCertificate.generate();
  const srtp = loadSrtpCiphers();
  if (srtp.fallbackReason) log.warn({ reason: srtp.fallbackReason }, 'SRTP uses node:crypto, which costs several times more');
  const shard = new Shard(options, agents, certificate, srtp.ciphers, log, events);
  warmUpCall({ certificate, ciphers: srtp.ciphers, random: randomFillSync });
  await shard.open();
  return shard;
}

/** One worker's share of the calls: their datagrams come over one trunk socket and are paced by one clock. */
export class Shard implements UdpSocketHandler, CallHost {
  readonly log: Logger;
  readonly #options: ShardOptions;
  readonly #agents: readonly [Agent, ...Agent[]];
  readonly #certificate: DtlsCertificate;
  readonly #ciphers: SrtpCiphers;
  readonly #events: ShardEvents;
  readonly #cookies: TrunkCookies;
  readonly #reader: TrunkReader;
  readonly #username = new StunUsernameReader();
  readonly #scratch = new DatagramScratch();
  readonly #clock = new MediaClock<Call>({
    tick: (calls, now) => this.#tick(calls, now),
    prepare: (call) => call.prepare(),
  });
  readonly #timers = new TimerWheel<Call>((calls, now) => this.#expire(calls, now));
  readonly #media = new MediaTotals();
  /** Calls that have been answered and are yet to be brought up, by ufrag. */
  readonly #answered = new Map<string, CallOptions>();
  readonly #calls = new Map<string, Call>();
  readonly #byUfrag = new Map<string, Call>();
  readonly #paths = new ClientPaths();
  readonly #office: TicketOffice;
  readonly #tickets: TicketDesk;
  /** Calls with output that an agent made outside of any datagram. */
  readonly #touched = new Set<Call>();
  /** The call whose datagram is being handled: it is drained right after, and need not be remembered. */
  #current: Call | null = null;
  /** Time of the turn of work that is going on: its calls are drained when it is done, or by it. */
  #turn: number | null = null;
  #draining = false;
  #closed = false;
  #socket: UdpSocket | null = null;
  #bundler: TrunkBundler | null = null;
  #preparation: CallPreparation | null = null;
  /** Unix seconds. */
  #readySince = 0;
  readonly #report = new Uint8Array(WORKER_REPORT_BYTES);
  readonly #counters = new ShardCounters();

  constructor(
    options: ShardOptions,
    agents: readonly [Agent, ...Agent[]],
    certificate: DtlsCertificate,
    ciphers: SrtpCiphers,
    log: Logger,
    events: ShardEvents,
  ) {
    this.log = log;
    this.#options = options;
    this.#agents = agents;
    this.#certificate = certificate;
    this.#ciphers = ciphers;
    this.#events = events;
    const previous = options.previousSecret ?? undefined;
    this.#cookies = new TrunkCookies(options.secret, previous);
    this.#reader = new TrunkReader(this.#cookies);
    this.#office = new TicketOffice(options);
    this.#tickets = new TicketDesk({
      office: this.#office,
      hasRoom: () => this.#hasRoom,
      fetchSession: (name) => events.fetchSession(name),
    });
  }

  async open(): Promise<void> {
    this.#socket = await openUdpSocket({ address: this.#options.trunk, handler: this });
    this.#bundler = new TrunkBundler({
      socket: this.#socket,
      cookies: this.#cookies,
      towardsClients: true,
      mtu: this.#options.trunkMtu,
    });
    const { secret, cluster } = this.#options;
    const isFree = (ufrag: string): boolean => !this.#byUfrag.has(ufrag) && !this.#answered.has(ufrag);
    this.#preparation = new CallPreparation({ secret, cluster, address: this.advertised, isFree });
    this.#preparation.prepare();
    this.#readySince = unixSeconds();
    this.#warmUp(WARM_UP_CALLS);
  }

  /** While nobody calls, what a call runs through is run through: else the first callers would wait while it is compiled. */
  #warmUp(rounds: number): void {
    if (rounds === 0 || this.#closed || this.#calls.size > 0) return;
    const common = { certificate: this.#certificate, ciphers: this.#ciphers, random: randomFillSync };
    warmUpCall(common);
    this.#office.rehearse(new Offerer({ ...common, audio: true, data: true, ntpEpochOffset: 0 }).offer);
    setImmediate(() => this.#warmUp(rounds - 1));
  }

  /** Bound trunk address. */
  get trunk(): TransportAddress {
    return this.#socket!.address;
  }

  /** Trunk address that relays are told, inside the routing token. */
  get advertised(): TransportAddress {
    const { advertiseTrunk } = this.#options;
    return advertiseTrunk ? { ...advertiseTrunk, port: advertiseTrunk.port || this.trunk.port } : this.trunk;
  }

  /** Names of the agents, the default first. */
  get agents(): readonly string[] {
    return this.#agents.map(({ name }) => name);
  }

  /**
   * Answers an offer. Whatever can be wrong with it is found out here; the call itself is brought up when the answer is on
   * its way, at the latest when something is asked of it or its first packet comes.
   * @throws {CallError} 400 for an offer that cannot be served.
   */
  createCall({ offer, session: sessionConfig, ingress = this.#options.ingress, eventsChannelId: declared }: CallRequest): CallAnswer {
    const now = performance.now();
    const busyFrom = threadTime();
    const eventsChannelId = declared ?? null;
    const prepared = this.#preparation!.take();
    const { id, ufrag } = prepared;
    const answerer = this.#answer(offer, prepared, ingress, eventsChannelId, now);
    if (this.#answered.size === 0) setImmediate(() => this.#bringUp());
    this.#answered.set(ufrag, this.#callOptions(id, ufrag, answerer, sessionConfig, ingress, eventsChannelId, now));
    this.#counters.callsStarted++;
    return { id, answer: answerer.answer, etag: entityTag(1), busySeconds: (threadTime() - busyFrom) / 1000 };
  }

  /** Ends a call. One that has ended already is no fault: a caller's goodbye over UDP may overtake its DELETE. */
  hangup(callId: string, reason: string): void {
    this.#bringUp();
    this.#calls.get(callId)?.close(reason, performance.now());
    this.#bundler?.flush();
  }

  /** See `CallService.restartIce`. @throws {CallError} */
  restartIce(callId: string, fragment: string, ifMatch: '*' | readonly string[]): IceUpdate {
    const call = this.#liveCall(callId);
    if (ifMatch !== '*' && !ifMatch.includes(call.etag)) {
      throw new CallError(412, 'etag_mismatch', 'ICE was restarted meanwhile: none of the entity tags in If-Match is current.');
    }
    const now = performance.now();
    const { ufrag } = this.#preparation!.freeToken();
    const answer = answerRestart(call.answerer, fragment, ufrag, call.ingress, now);
    if (answer !== null) {
      // The old ufrag stays known: checks under it count until the first one under the new ufrag has come.
      this.#byUfrag.set(ufrag, call);
      call.ufrags.push(ufrag);
      call.drain(now);
    }
    return { fragment: answer, etag: call.etag };
  }

  /** Follows a call's events. @throws {CallError} 404 */
  observe(callId: string, observer: CallObserver): CallObservation {
    return this.#liveCall(callId).observe(observer);
  }

  stats(): MetricReading[] {
    this.#bringUp();
    const readings = this.#counters.readings(this.#options.index, {
      calls: this.#calls.size,
      socket: this.#socket!.counters,
    });
    const media = Array.from(this.#calls.values(), (call) => call.mediaCounts);
    return [...readings, ...this.#media.readings(media, this.#clock)];
  }

  /** How much is remembered: nothing, when no call is left. */
  sizes(): { readonly callCount: number; readonly pathCount: number } {
    return { callCount: this.#answered.size + this.#calls.size + this.#byUfrag.size, pathCount: this.#paths.size };
  }

  dump(callId: string): object | null {
    this.#bringUp();
    return this.#calls.get(callId)?.dump() ?? null;
  }

  /** JSON of the session configuration that was asked for; null when it is not to be had. */
  sessionFetched(name: string, json: string | null): void {
    this.#tickets.sessionFetched(name, json);
  }

  /** The call of this ticket is another's, at `owner` (`host:port`): ours ends without a word to the client. */
  yieldCall(ufrag: string, owner: string): void {
    this.#tickets.yielded(ufrag, owner);
    this.#byUfrag.get(ufrag)?.abandon('ticket_used_elsewhere', performance.now());
  }

  /** Takes no call more, and tells all agents that the server stops when `withinMs` have passed. */
  announceStop(withinMs: number): void {
    this.#draining = true;
    this.#bringUp();
    const now = performance.now();
    for (const call of this.#calls.values()) call.announceStop(withinMs, now);
  }

  /** Ends all calls and closes the socket. */
  async close(reason: string): Promise<void> {
    this.#closed = true;
    this.#bringUp();
    const now = performance.now();
    for (const call of this.#calls.values()) call.close(reason, now);
    this.#bundler?.flush();
    this.#clock.stop();
    this.#timers.stop();
    await this.#socket?.close();
  }

  // UdpSocketHandler: one datagram of a relay, with one or more datagrams of clients in it.

  datagram(data: Uint8Array, relay: TransportAddress): void {
    const reader = this.#reader;
    const error: TrunkError | null = reader.open(data);
    if (error) {
      this.#counters.drops[error]++;
      return;
    }
    if (reader.towardsClients) {
      this.#counters.drops['wrong-direction']++;
      return;
    }
    this.#bringUp();
    const now = performance.now();
    this.#turn = now;
    while (reader.next()) {
      if (reader.control) this.#control(data, reader, relay);
      else this.#clientDatagram(data, reader, relay, now);
    }
    this.#turn = null;
    if (reader.malformed) this.#counters.drops['trunk-malformed']++;
  }

  batchEnd(): void {
    this.#flush();
  }

  // CallHost

  get now(): number {
    return this.#turn ?? performance.now();
  }

  pace(call: Call): void {
    this.#clock.add(call);
  }

  wakeAt(call: Call, at: number): void {
    this.#timers.schedule(call, at);
  }

  transmit(data: Uint8Array, to: TransportAddress): void {
    // The session names the very object that it was given as the source: see ClientPath.
    const path = to as ClientPath;
    this.#bundler!.queue(path.relay, path, path.via, true, data);
  }

  hurry(): void {
    this.#bundler!.flush();
  }

  touched(call: Call): void {
    if (call === this.#current) return;
    if (this.#touched.size === 0 && this.#turn === null) queueMicrotask(() => this.#flush());
    this.#touched.add(call);
  }

  connected(dtlsVersion: string, dtlsInStun: boolean): void {
    this.#counters.connected(dtlsVersion, dtlsInStun);
  }

  ended(call: Call, reason: string): void {
    this.#calls.delete(call.id);
    this.#touched.delete(call);
    for (const ufrag of call.ufrags) this.#byUfrag.delete(ufrag);
    this.#paths.removeCall(call);
    this.#counters.callEnded(reason);
    this.#clock.remove(call);
    this.#timers.remove(call);
    this.#media.ended(call.mediaCounts);
    this.#events.callEnded(call.id);
  }

  #clientDatagram(data: Uint8Array, reader: TrunkReader, relay: TransportAddress, now: number): void {
    const { payloadOffset, payloadLength } = reader;
    const known = this.#paths.find(data, reader.ipOffset, reader.family, reader.port);
    // STUN names its call; a client that places a second call from the same port is told apart by that.
    const stun = this.#username.read(data, payloadOffset, payloadLength) === 'binding-request';
    const call = stun ? this.#callOfUsername(data) ?? this.#redeem(data, reader, relay, now) : known?.call;
    if (!call) {
      if (!stun) this.#counters.drops['unknown-client']++;
      return;
    }
    const path = known ?? newPath(data, reader, call, relay);
    const payload = this.#scratch.copy(data, payloadOffset, payloadLength);
    this.#current = call;
    // Only a datagram that authenticates moves anything: a forged one must not draw the call's packets to itself.
    if (call.handleDatagram(payload, path, now)) {
      if (!known) this.#paths.add(path);
      else if (path.call !== call) this.#paths.move(path, call);
      const via = reader.hasVia ? this.#paths.via(data, reader.viaOffset) : null;
      // Only what changes is written: a path lies in memory of its own.
      if (path.relay !== relay) path.relay = relay;
      if (path.via !== via) path.via = via;
    }
    call.drain(now);
    this.#current = null;
  }

  /** A check that no live call expects: with a ticket it makes its call here, or learns why not. */
  #redeem(data: Uint8Array, reader: TrunkReader, relay: TransportAddress, now: number): Call | undefined {
    const { payloadOffset, payloadLength, viaOffset } = reader;
    const ufrag = this.#ufrag(data);
    if (ufrag === null || ufrag.length <= UFRAG_LENGTH) {
      this.#counters.drops['unknown-call']++;
      return undefined;
    }
    const check = this.#scratch.copy(data, payloadOffset, payloadLength);
    const verdict = this.#tickets.present(ufrag, check, unixSeconds());
    if (verdict.type === 'accepted') return this.#begin(verdict, now);
    this.#counters.tickets[verdict.type]++;
    if (verdict.type !== 'refused' && verdict.type !== 'elsewhere') return undefined;
    const client = clientAddress(data, reader);
    const via = reader.hasVia ? this.#paths.via(data, viaOffset) : null;
    if (verdict.type === 'refused') this.#bundler!.queue(relay, client, via, false, verdict.answer);
    else this.#bundler!.handBack(relay, client, via, verdict.owner === null ? null : parseAddress(verdict.owner), check);
    return undefined;
  }

  /** Makes the call that a ticket stands for. */
  #begin({ ticket, session }: AcceptedTicket, now: number): Call {
    const { id, keyShare } = this.#preparation!.take();
    const { ufrag, eventsChannelId, expiresAt } = ticket;
    const answerer = resumeAnswer(ticket.terms, ufrag, ticket.draws, {
      certificate: ticket.certificate,
      ...this.#ownEnd(keyShare, eventsChannelId, now),
    });
    const call = this.#start(this.#callOptions(id, ufrag, answerer, session, this.#options.ingress, eventsChannelId, now), now);
    this.#counters.callsStarted++;
    this.#counters.tickets.accepted++;
    this.#events.ticketUsed(id, ufrag, expiresAt);
    // The caller need not wait for what the next one will want.
    setImmediate(() => this.#preparation!.prepare());
    return call;
  }

  /** A relay asks how this worker is. */
  #control(data: Uint8Array, { payloadOffset, payloadLength }: TrunkReader, relay: TransportAddress): void {
    if (pathProbeKind(data, payloadOffset, payloadLength) !== 'probe') return;
    const { cluster, workers } = this.#options;
    const report = { accepting: this.#hasRoom, cluster, workers, readySince: this.#readySince };
    writeWorkerReport(this.#report, report, pathProbeNumber(data, payloadOffset));
    this.#bundler!.tell(relay, this.#report);
  }

  /** Whether a ticket may become a call here; offers are the main thread's to turn down. */
  get #hasRoom(): boolean {
    return !this.#draining && !this.#closed && this.#calls.size + this.#answered.size < this.#options.maxCalls;
  }

  /** A model that is no agent's name is for the default agent to understand: a bridge passes it on. */
  #agentFor({ model }: CallRequest['session']): Agent {
    return this.#agents.find(({ name }) => name === model) ?? this.#agents[0];
  }

  #liveCall(callId: string): Call {
    this.#bringUp();
    const call = this.#calls.get(callId);
    if (!call) throw new CallError(404, 'call_not_found', `There is no call ${callId}.`);
    return call;
  }

  /** Makes calls of all that have been answered. */
  #bringUp(): void {
    if (this.#answered.size === 0) return;
    const now = performance.now();
    for (const options of this.#answered.values()) {
      this.#answered.delete(options.ufrag);
      this.#start(options, now);
    }
    this.#preparation!.prepare();
  }

  #start(options: CallOptions, now: number): Call {
    const log = this.log.child({ call: options.id.slice(0, 12) });
    const call = new Call({ ...options, log });
    this.#calls.set(call.id, call);
    this.#byUfrag.set(options.ufrag, call);
    call.drain(now);
    log.info({ agent: options.agent.name }, 'call accepted');
    return call;
  }

  #callOptions(
    id: string,
    ufrag: string,
    answerer: AnsweringEnd,
    sessionConfig: SessionConfig,
    ingress: readonly TransportAddress[],
    eventsChannelId: number | null,
    now: number,
  ): CallOptions {
    const { maxDurationMs } = this.#options;
    return { id, ufrag, answerer, sessionConfig, ingress, agent: this.#agentFor(sessionConfig), host: this, log: this.log, now, maxDurationMs, eventsChannelId };
  }

  #answer(offer: string, { ufrag, keyShare }: PreparedCall, candidates: readonly TransportAddress[], eventsChannelId: number | null, now: number): Answerer {
    try {
      return answerOffer({ offer, ufrag, candidates, certificate: this.#certificate, ...this.#ownEnd(keyShare, eventsChannelId, now) });
    } catch (error) {
      this.#counters.offersRefused++;
      throw error;
    }
  }

  /** What each call brings along, whatever was agreed on. */
  #ownEnd(keyShare: KeyShare<'x25519'>, eventsChannelId: number | null, now: number) {
    const channels = eventsChannelId === null ? [] : [{ label: EVENTS_LABEL, negotiated: true, id: eventsChannelId }];
    return { ciphers: this.#ciphers, earlySending: this.#options.earlyMedia, keyShare, channels, now };
  }

  #callOfUsername(data: Uint8Array): Call | undefined {
    const ufrag = this.#ufrag(data);
    return ufrag === null ? undefined : this.#byUfrag.get(ufrag);
  }

  /** That of the binding request that was read last. */
  #ufrag(data: Uint8Array): string | null {
    const { ufragOffset, ufragLength } = this.#username;
    return ufragOffset < 0 ? null : Buffer.from(data.buffer, data.byteOffset + ufragOffset, ufragLength).toString('latin1');
  }

  #tick(calls: ReadonlySet<Call>, now: number): void {
    this.#inTurn(calls, now, (call) => {
      call.tick(now);
      if (!call.wantsTick) this.#clock.remove(call);
    });
    this.#flush();
  }

  #expire(calls: ReadonlySet<Call>, now: number): void {
    this.#inTurn(calls, now, (call) => call.handleTimeout(now));
    this.#flush();
  }

  #flush(): void {
    const now = performance.now();
    this.#inTurn(this.#touched, now, (call) => call.drain(now));
    this.#touched.clear();
    this.#bundler?.flush();
  }

  /** One turn of work: it has one time, and what it touches is drained when it is done. */
  #inTurn(calls: ReadonlySet<Call>, now: number, act: (call: Call) => void): void {
    this.#turn = now;
    for (const call of calls) act(call);
    this.#turn = null;
  }
}

type AcceptedTicket = Extract<TicketVerdict, { type: 'accepted' }>;

function newPath(data: Uint8Array, reader: TrunkReader, call: Call, relay: TransportAddress): ClientPath {
  return { ...clientAddress(data, reader), call, relay, via: null };
}

function clientAddress(data: Uint8Array, { family, ipOffset, port }: TrunkReader): TransportAddress {
  return { family, ip: data.slice(ipOffset, ipOffset + (family === 4 ? 4 : 16)), port };
}

function unixSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
