import { datagramKind } from '../wire/datagram-kind.ts';
import { LOCATOR_BYTES, writeEndpoint4 } from '../wire/locator.ts';
import { type RoutingKeys, RoutingToken } from '../wire/routing-token.ts';
import { StunUsernameReader } from '../wire/stun-username.ts';
import { type TrunkCookies, TrunkReader } from '../wire/trunk.ts';
import type { CounterBlock } from './counters.ts';
import type { DropReason } from './drop-reason.ts';
import { FlowTable } from './flow-table.ts';
import type { NetworkList } from './networks.ts';
import { FLOW_REFRESH_MS, type FlowRecovery, LimitedLookups } from './recovery.ts';
import type { SourceLimit } from './source-limit.ts';

/**
 * Where each packet goes. No sockets, no clock: `now` is milliseconds on any monotonic clock.
 *
 *   client datagram ─► STUN binding request? ─yes─► token ─► transceiver, and the flow is made
 *                            │no
 *                            ▼
 *                      known flow? ─yes─► its transceiver
 *                            │no
 *                            ▼
 *                      drop (recovery may be asked)
 *
 *   trunk datagram ─► cookie, source ─► each entry: ─via?─yes─► that relay
 *                                                     │no
 *                                                     ▼
 *                     the client named in it; if marked verified, its flow is learned
 *
 * A spoofed source moves nothing: STUN makes a flow, or moves one that no transceiver has vouched for; a flow that is
 * vouched for is moved only by another transceiver's vouching. Nothing is ever sent to a source that has shown no
 * token, and every drop has its reason.
 */
export interface RelayCoreOptions {
  readonly keys: RoutingKeys;
  readonly cookies: TrunkCookies;
  readonly cluster: number;
  readonly allowTargets: NetworkList;
  readonly maxFlows: number;
  readonly idleTimeoutMs: number;
  /** The family of the public socket: an IPv4 one reaches no IPv6 client. */
  readonly publicFamily: 4 | 6;
  readonly counters: CounterBlock;
  readonly recovery: FlowRecovery | null;
  readonly sourceLimit: SourceLimit | null;
}

export type ClientVerdict = 'forward' | DropReason;
/** Null: the datagram has no further entries. */
export type EntryVerdict = 'client' | 'via' | DropReason | null;

export class RelayCore {
  /** After `forward`: the transceiver, six bytes (IPv4 address, port) at `targetOffset`. */
  target: Uint8Array = new Uint8Array(LOCATOR_BYTES);
  targetOffset = 0;
  /** The current entry, after `client` or `via`. */
  readonly trunk: TrunkReader;
  /** The token that was decoded last. */
  readonly token = new RoutingToken();
  readonly flows: FlowTable;

  readonly #options: RelayCoreOptions;
  readonly #counters: CounterBlock;
  readonly #stun = new StunUsernameReader();
  readonly #lookups: LimitedLookups | null;
  readonly #source = new Uint8Array(LOCATOR_BYTES);
  readonly #refreshed = new Uint8Array(16);
  #refreshedTo = 0;
  #refreshedAt = 0;
  #trunkData: Uint8Array = this.#source;

  constructor(options: RelayCoreOptions) {
    this.#options = options;
    this.#counters = options.counters;
    this.trunk = new TrunkReader(options.cookies);
    this.flows = new FlowTable(options.maxFlows);
    this.#lookups = options.recovery === null ? null : new LimitedLookups(options.recovery);
  }

  /** Decides on one datagram from a client, whose address is 4 or 16 bytes at `ipOffset`. Counts nothing but flows. */
  fromClient(
    data: Uint8Array,
    offset: number,
    length: number,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
  ): ClientVerdict {
    const kind = length === 0 ? 'other' : datagramKind(data[offset]);
    if (kind === 'other') return 'not-webrtc';
    const flow = this.flows.find(ip, ipOffset, family, port);
    if (kind === 'stun') {
      const stunClass = this.#stun.read(data, offset, length);
      if (stunClass === 'malformed') return 'stun-malformed';
      if (stunClass === 'binding-request') return this.#byToken(flow, data, family, ip, ipOffset, port, now);
    }
    if (flow < 0) return this.#unknown(family, ip, ipOffset, port, now);
    this.flows.touch(flow, now);
    return this.#forward(this.flows.targets, flow * LOCATOR_BYTES);
  }

  /** Opens a datagram from the IPv4 peer whose address is at `ipOffset`; null: go on with `nextEntry`. */
  openTrunk(
    data: Uint8Array,
    offset: number,
    length: number,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
  ): DropReason | null {
    const error = this.trunk.open(data, offset, length);
    if (error !== null) return error;
    if (!this.#options.allowTargets.contains(ip, ipOffset)) return 'trunk-source';
    if (!this.trunk.towardsClients) return 'trunk-direction';
    writeEndpoint4(this.#source, 0, ip, ipOffset, port);
    this.#trunkData = data;
    return null;
  }

  /** Decides on the next entry of the open datagram; its fields are those of `trunk`. */
  nextEntry(now: number): EntryVerdict {
    const entry = this.trunk;
    if (!entry.next()) {
      if (!entry.malformed) return null;
      entry.malformed = false;
      return 'trunk-malformed';
    }
    if (entry.hasVia) {
      return this.#options.allowTargets.contains(this.#trunkData, entry.viaOffset) ? 'via' : 'via-not-allowed';
    }
    if (entry.port === 0 || entry.family > this.#options.publicFamily) return 'client-unreachable';
    if (entry.verified) this.#learn(now);
    return 'client';
  }

  /** The recovery cache has answered. A flow that has become known meanwhile stays as it is. */
  recovered(
    ip: Uint8Array,
    ipOffset: number,
    family: 4 | 6,
    port: number,
    target: Uint8Array,
    targetOffset: number,
    now: number,
  ): void {
    if (!this.#options.allowTargets.contains(target, targetOffset) || this.flows.find(ip, ipOffset, family, port) >= 0) return;
    const flow = this.flows.obtain(ip, ipOffset, family, port, now);
    this.flows.setTarget(flow, target, targetOffset, false);
    this.#counters.add('flowsRecovered', 1);
  }

  /** The relay before knew a flow; `vouched` for by a transceiver or not. */
  handedOver(
    ip: Uint8Array,
    ipOffset: number,
    family: 4 | 6,
    port: number,
    target: Uint8Array,
    targetOffset: number,
    vouched: boolean,
    now: number,
  ): void {
    if (!this.#options.allowTargets.contains(target, targetOffset)) return;
    this.flows.setTarget(this.flows.obtain(ip, ipOffset, family, port, now), target, targetOffset, vouched);
    this.#counters.add('flowsHandedOver', 1);
  }

  /** Forgets idle flows and brings the flow counters up to date; call it about once a second. */
  tick(now: number): void {
    this.#counters.add('flowsExpired', this.flows.expire(now - this.#options.idleTimeoutMs));
    this.#counters.set('flowsEvicted', this.flows.evictions);
    this.#counters.flows = this.flows.size;
    if (this.#options.recovery !== null) this.#refresh(this.#options.recovery, now);
  }

  #byToken(
    flow: number,
    data: Uint8Array,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
  ): ClientVerdict {
    const { ufragOffset, ufragLength } = this.#stun;
    const { flows, token } = this;
    if (ufragOffset < 0) return 'stun-no-ufrag';
    if (flow >= 0 && flows.hasToken(flow, data, ufragOffset, ufragLength)) {
      flows.touch(flow, now);
      return this.#forward(flows.tokenTargets, flow * LOCATOR_BYTES);
    }
    if (!this.#options.keys.decodeUfrag(data, ufragOffset, ufragLength, token)) return 'token-invalid';
    this.#counters.add('tokensDecoded', 1);
    if (token.cluster !== this.#options.cluster) return 'token-cluster';
    if (token.locatorKind === 1) return 'token-node';
    if (!this.#options.allowTargets.contains(token.locatorBytes, 0)) return 'target-not-allowed';
    if (flow < 0 && this.#options.sourceLimit?.take(ip, ipOffset, family, now) === false) return 'source-limit';
    const known = flows.obtain(ip, ipOffset, family, port, now);
    if (flows.inserted) this.#counters.add('flowsRouted', 1);
    if (!flows.isVerified(known)) flows.setTarget(known, token.locatorBytes, 0, false);
    flows.setToken(known, data, ufragOffset, token.locatorBytes);
    return this.#forward(flows.tokenTargets, known * LOCATOR_BYTES);
  }

  #forward(target: Uint8Array, offset: number): 'forward' {
    this.target = target;
    this.targetOffset = offset;
    return 'forward';
  }

  #unknown(family: 4 | 6, ip: Uint8Array, ipOffset: number, port: number, now: number): DropReason {
    return this.#lookups?.ask(ip, ipOffset, family, port, now) ? 'flow-recovering' : 'unknown-flow';
  }

  /**
   * Tells the recovery cache again of the live flows that are vouched for: of all of them within one refresh time, a
   * share of the table at each tick. So entries outlive neither their calls by much nor a cache that lost them.
   */
  #refresh(recovery: FlowRecovery, now: number): void {
    const { flows } = this;
    const share = Math.min(1, (now - this.#refreshedAt) / FLOW_REFRESH_MS);
    this.#refreshedAt = now;
    for (let left = Math.ceil(share * flows.capacity); left > 0; left--) {
      const flow = this.#refreshedTo;
      this.#refreshedTo = (flow + 1) % flows.capacity;
      if (!flows.isVerified(flow) || !flows.isAliveSince(flow, now - FLOW_REFRESH_MS)) continue;
      const port = flows.readClient(flow, this.#refreshed, 0);
      recovery.learned(this.#refreshed, 0, 6, port, flows.targets, flow * LOCATOR_BYTES);
    }
  }

  /** The sender of the open trunk datagram vouches for the client of the current entry. */
  #learn(now: number): void {
    const { flows, trunk } = this;
    const source = this.#source;
    const flow = flows.obtain(this.#trunkData, trunk.ipOffset, trunk.family, trunk.port, now);
    const isNew = flows.inserted;
    if (isNew) this.#counters.add('flowsReturned', 1);
    else if (flows.goesTo(flow, source, 0, (source[4] << 8) | source[5])) {
      if (flows.isVerified(flow)) return;
    } else this.#counters.add('flowsMoved', 1);
    flows.setTarget(flow, source, 0, true);
    this.#options.recovery?.learned(this.#trunkData, trunk.ipOffset, trunk.family, trunk.port, source, 0);
  }
}
