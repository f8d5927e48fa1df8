import { datagramKind } from '../wire/datagram-kind.ts';
import { LOCATOR_BYTES, writeEndpoint4 } from '../wire/locator.ts';
import { type RoutingKeys, RoutingToken, UFRAG_LENGTH } from '../wire/routing-token.ts';
import { StunUsernameReader } from '../wire/stun-username.ts';
import { pathProbeCluster, pathProbeKind, pathProbeNumber } from '../wire/path-probe.ts';
import { type TrunkCookies, TrunkReader } from '../wire/trunk.ts';
import { type ClusterPaths, clusterOfTarget, writeClusterTarget } from './cluster-paths.ts';
import type { CounterBlock } from './counters.ts';
import type { DropReason } from './drop-reason.ts';
import { FlowTable } from './flow-table.ts';
import type { NetworkList } from './networks.ts';
import { FLOW_REFRESH_MS, type FlowRecovery, LimitedLookups } from './recovery.ts';
import type { SourceLimit } from './source-limit.ts';
import type { TransceiverWorkers } from './transceivers.ts';

/**
 * Where each packet goes. No sockets, no clock: `now` is milliseconds on any monotonic clock.
 *
 *   client datagram ─► STUN binding request? ─yes─► token ─► transceiver, and the flow is made
 *                            │no                      └─ an unbound ticket? the flow's, or else `TransceiverWorkers`
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
 *   from another relay ─► each entry: like a client's, but to transceivers of this cluster only, and marked with that
 *                         relay as via; an unknown client's goes where the other relay says
 *
 * A call of another cluster goes to one of that cluster's relays, which `ClusterPaths` chooses for each packet. No
 * packet passes more than two relays: what came from one goes to no other, and what carries a via was through two.
 *
 * A spoofed source moves nothing: STUN makes a flow, or moves one that no transceiver has vouched for; a flow that is
 * vouched for is moved only by another transceiver's vouching. Nothing is ever sent to a source that has shown no
 * token, and every drop has its reason.
 *
 * A transceiver that cannot take a ticket hands it back: it is offered to the next, or to the one that it names. A name
 * is followed once for each check of the client, as two transceivers may name each other for ever.
 */
export interface RelayCoreOptions {
  readonly keys: RoutingKeys;
  readonly cookies: TrunkCookies;
  /** This relay's cluster; {@link NO_CLUSTER} when it stands by itself, in front of all. */
  readonly cluster: number;
  /** The ways to other clusters; null when calls of other clusters are none of this relay's business. */
  readonly paths: ClusterPaths | null;
  /** The transceivers of this relay's cluster; null when they are not known. */
  readonly transceivers: TransceiverWorkers | null;
  readonly allowTargets: NetworkList;
  readonly maxFlows: number;
  readonly idleTimeoutMs: number;
  /** The family of the public socket: an IPv4 one reaches no IPv6 client. */
  readonly publicFamily: 4 | 6;
  readonly counters: CounterBlock;
  readonly recovery: FlowRecovery | null;
  readonly sourceLimit: SourceLimit | null;
}

/** The cluster id of a relay that belongs to none. */
export const NO_CLUSTER = -1;

export type ClientVerdict = 'forward' | DropReason;
/**
 * `client`: to the client named in the entry. `via`: to the relay that it names. `forward`: on to the transceiver, with
 * `source` as via. `offer`: handed back, to another transceiver, with the via that it has. `probe`: to be echoed to
 * `source`. `done`: nothing is left to do. Null: no further entries.
 */
export type EntryVerdict = 'client' | 'via' | 'forward' | 'offer' | 'probe' | 'done' | DropReason | null;

export class RelayCore {
  /** After `forward`: the next hop, six bytes (IPv4 address, port) at `targetOffset`. */
  target: Uint8Array = new Uint8Array(LOCATOR_BYTES);
  targetOffset = 0;
  /** After `forward`: the transceiver at `hintOffset`, to be told to the relay that is the next hop; null for none. */
  hint: Uint8Array | null = null;
  hintOffset = 0;
  /** Whether the next hop is a relay of another cluster. */
  toCluster = false;
  /** The current entry of a trunk datagram. */
  readonly trunk: TrunkReader;
  /** The sender of the open trunk datagram, six bytes. */
  readonly source = new Uint8Array(LOCATOR_BYTES);
  /** The token that was decoded last. */
  readonly token = new RoutingToken();
  readonly flows: FlowTable;

  readonly #options: RelayCoreOptions;
  readonly #counters: CounterBlock;
  readonly #stun = new StunUsernameReader();
  readonly #lookups: LimitedLookups | null;
  /** What flows lead to that the sender of the open datagram vouches for: itself, or its cluster. */
  readonly #voucher = new Uint8Array(LOCATOR_BYTES);
  readonly #clusterTarget = new Uint8Array(LOCATOR_BYTES);
  readonly #refreshed = new Uint8Array(16);
  #refreshedTo = 0;
  #refreshedAt = 0;
  #trunkData: Uint8Array = this.source;

  constructor(options: RelayCoreOptions) {
    this.#options = options;
    this.#counters = options.counters;
    this.trunk = new TrunkReader(options.cookies);
    this.flows = new FlowTable(options.maxFlows);
    this.#lookups = options.recovery === null ? null : new LimitedLookups(options.recovery);
  }

  /**
   * Decides on one datagram from a client, whose address is 4 or 16 bytes at `ipOffset`. Counts nothing but flows.
   * `relayed`: it is the payload of the current entry, which came through another relay.
   */
  fromClient(
    data: Uint8Array,
    offset: number,
    length: number,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
    relayed = false,
  ): ClientVerdict {
    const kind = length === 0 ? 'other' : datagramKind(data[offset]);
    if (kind === 'other') return 'not-webrtc';
    let flow = this.flows.find(ip, ipOffset, family, port);
    if (kind === 'stun') {
      const stunClass = this.#stun.read(data, offset, length);
      if (stunClass === 'malformed') return 'stun-malformed';
      if (stunClass === 'binding-request') return this.#byToken(flow, data, family, ip, ipOffset, port, now, relayed);
    }
    if (flow < 0 && relayed && this.trunk.hasTarget) flow = this.#fromHint(now);
    if (flow < 0) return this.#unknown(family, ip, ipOffset, port, now);
    const { flows } = this;
    flows.touch(flow, now);
    const at = flow * LOCATOR_BYTES;
    const cluster = clusterOfTarget(flows.targets, at);
    if (cluster < 0) return this.#forward(flows.targets, at);
    if (relayed) return 'relay-loop';
    const verdict = this.#toCluster(cluster, family, ip, ipOffset, port);
    if (verdict !== 'forward' || flows.tokenCluster(flow) !== cluster || flows.hasTicket(flow)) return verdict;
    this.hint = flows.tokenTargets;
    this.hintOffset = at;
    return verdict;
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
    const { source } = this;
    const { paths, cluster, allowTargets } = this.#options;
    writeEndpoint4(source, 0, ip, ipOffset, port);
    const foreign = paths === null ? NO_CLUSTER : paths.clusterAt(source, 0);
    // The clusters file is the operator's word for the relays that it lists.
    if (foreign === NO_CLUSTER && !allowTargets.contains(ip, ipOffset)) return 'trunk-source';
    if (!this.trunk.towardsClients && cluster === NO_CLUSTER) return 'trunk-direction';
    if (foreign === NO_CLUSTER) this.#voucher.set(source);
    else writeClusterTarget(this.#voucher, 0, foreign);
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
    if (entry.control) return this.#control(now);
    if (!entry.towardsClients) return this.#fromRelay(now);
    if (entry.handedBack) return this.#handedBack(now);
    if (entry.hasVia) {
      if (!this.#options.allowTargets.contains(this.#trunkData, entry.viaOffset)) return 'via-not-allowed';
      if (entry.verified) this.#learn(now);
      return 'via';
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
    if (!this.#mayLeadTo(target, targetOffset) || this.flows.find(ip, ipOffset, family, port) >= 0) return;
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
    if (!this.#mayLeadTo(target, targetOffset)) return;
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
    relayed: boolean,
  ): ClientVerdict {
    const { ufragOffset, ufragLength } = this.#stun;
    const { flows, token } = this;
    if (ufragOffset < 0) return 'stun-no-ufrag';
    if (ufragLength > UFRAG_LENGTH) return this.#byTicket(flow, data, family, ip, ipOffset, port, now, relayed);
    let known = flow;
    if (flow >= 0 && flows.hasToken(flow, data, ufragOffset, ufragLength)) flows.touch(flow, now);
    else {
      if (!this.#decode(data)) return 'token-invalid';
      const { cluster } = token;
      if (!this.#serves(cluster, relayed)) return 'token-cluster';
      if (token.locatorKind === 1) return 'token-node';
      const isForeign = this.#isForeign(cluster);
      if (!isForeign && !this.#options.allowTargets.contains(token.locatorBytes, 0)) return 'target-not-allowed';
      if (flow < 0 && !this.#mayBegin(family, ip, ipOffset, now)) return 'source-limit';
      known = this.#obtain(family, ip, ipOffset, port, now);
      let target = token.locatorBytes;
      if (isForeign) writeClusterTarget((target = this.#clusterTarget), 0, cluster);
      if (!flows.isVerified(known)) flows.setTarget(known, target, 0, false);
      flows.setToken(known, data, ufragOffset, token.locatorBytes, 0, cluster, false);
    }
    const cluster = flows.tokenCluster(known);
    if (!this.#isForeign(cluster)) return this.#forward(flows.tokenTargets, known * LOCATOR_BYTES);
    // The flow may have been made by the client itself, for a call of another cluster.
    return relayed ? 'relay-loop' : this.#toCluster(cluster, family, ip, ipOffset, port);
  }

  /** A check with an unbound ticket: where the flow leads, if the call may be there, or else where the ticket does. */
  #byTicket(
    flow: number,
    data: Uint8Array,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    now: number,
    relayed: boolean,
  ): ClientVerdict {
    const { ufragOffset, ufragLength } = this.#stun;
    const { flows, token } = this;
    const { cluster: own, transceivers } = this.#options;
    const isSame = flow >= 0 && flows.hasToken(flow, data, ufragOffset, ufragLength);
    if (!isSame && !this.#decode(data)) return 'token-invalid';
    const cluster = isSame ? flows.tokenCluster(flow) : token.cluster;
    if (!this.#serves(cluster, relayed)) return 'token-cluster';
    if (this.#isForeign(cluster)) {
      if (!isSame) {
        if (flow < 0 && !this.#mayBegin(family, ip, ipOffset, now)) return 'source-limit';
        writeClusterTarget(this.#clusterTarget, 0, cluster);
        this.#lead(data, ufragOffset, family, ip, ipOffset, port, this.#clusterTarget, 0, now);
      } else flows.touch(flow, now);
      return this.#toCluster(cluster, family, ip, ipOffset, port);
    }
    const way = flow < 0 ? null : this.#wayOfTicket(flow, isSame);
    if (way !== null) {
      const at = flow * LOCATOR_BYTES;
      if (!isSame) flows.setToken(flow, data, ufragOffset, way, at, cluster, true);
      flows.setReferred(flow, false);
      flows.touch(flow, now);
      return this.#forward(way, at);
    }
    if (isSame && !this.#decode(data)) return 'token-invalid';
    if (cluster !== own || transceivers === null || !transceivers.choose(token.bytes, token.issuedAt)) return 'ticket-unroutable';
    if (flow < 0 && !this.#mayBegin(family, ip, ipOffset, now)) return 'source-limit';
    this.#counters.add('ticketsChosen', 1);
    this.#lead(data, ufragOffset, family, ip, ipOffset, port, transceivers.endpoint, 0, now);
    return this.#forward(transceivers.endpoint, 0);
  }

  /**
   * Targets of the flow by which its ticket may reach the call: those that a transceiver has vouched for, or that were
   * learned without a token; then, for a ticket that it has shown before, those of that. Null when none lives.
   */
  #wayOfTicket(flow: number, isSame: boolean): Uint8Array | null {
    const { flows } = this;
    const { transceivers } = this.#options;
    const at = flow * LOCATOR_BYTES;
    const lives = (targets: Uint8Array): boolean => clusterOfTarget(targets, at) < 0 && transceivers?.lives(targets, at) !== false;
    if ((flows.isVerified(flow) || flows.tokenCluster(flow) < 0) && lives(flows.targets)) return flows.targets;
    return isSame && lives(flows.tokenTargets) ? flows.tokenTargets : null;
  }

  /** The client's flow, and the ticket whose token is in `token`, lead to `target`; but what a transceiver has vouched for stays. */
  #lead(
    ticket: Uint8Array,
    ticketOffset: number,
    family: 4 | 6,
    ip: Uint8Array,
    ipOffset: number,
    port: number,
    target: Uint8Array,
    targetOffset: number,
    now: number,
  ): number {
    const { flows } = this;
    const flow = this.#obtain(family, ip, ipOffset, port, now);
    if (!flows.isVerified(flow)) flows.setTarget(flow, target, targetOffset, false);
    flows.setToken(flow, ticket, ticketOffset, target, targetOffset, this.token.cluster, true);
    flows.setReferred(flow, false);
    return flow;
  }

  /** A transceiver cannot take the ticket of the current entry, whose payload is the client's check. */
  #handedBack(now: number): EntryVerdict {
    const { transceivers, allowTargets, cluster } = this.#options;
    const { trunk, flows, token } = this;
    const data = this.#trunkData;
    if (transceivers === null || clusterOfTarget(this.#voucher, 0) >= 0) return 'ticket-refused';
    if (trunk.hasVia && !allowTargets.contains(data, trunk.viaOffset)) return 'via-not-allowed';
    if (trunk.hasTarget && !allowTargets.contains(data, trunk.targetOffset)) return 'target-not-allowed';
    this.#stun.read(data, trunk.payloadOffset, trunk.payloadLength);
    if (this.#stun.ufragLength <= UFRAG_LENGTH || !this.#decode(data) || token.cluster !== cluster) return 'ticket-refused';
    const known = flows.find(data, trunk.ipOffset, trunk.family, trunk.port);
    const wasReferred = known >= 0 && flows.isReferred(known);
    const isNamed = trunk.hasTarget && !wasReferred;
    if (isNamed ? !transceivers.lives(data, trunk.targetOffset) : !transceivers.next(this.source, token.bytes, token.issuedAt)) {
      // The client's next check shall begin anew.
      if (known >= 0 && !flows.isVerified(known)) flows.remove(known);
      return 'ticket-refused';
    }
    if (isNamed) this.#forward(data, trunk.targetOffset);
    else this.#forward(transceivers.endpoint, 0);
    const { target, targetOffset } = this;
    const flow = this.#lead(data, this.#stun.ufragOffset, trunk.family, data, trunk.ipOffset, trunk.port, target, targetOffset, now);
    flows.setReferred(flow, isNamed || wasReferred);
    this.#counters.add(isNamed ? 'ticketsNamed' : 'ticketsPassedOn', 1);
    return 'offer';
  }

  /** Whether calls of the cluster are this relay's business; what came through another relay is for its own alone. */
  #serves(cluster: number, relayed: boolean): boolean {
    const { cluster: own, paths } = this.#options;
    return cluster === own || (!relayed && paths?.knows(cluster) === true);
  }

  /** Whether the cluster's transceivers are reached through its relays. */
  #isForeign(cluster: number): boolean {
    const { cluster: own, paths } = this.#options;
    return cluster !== own && paths !== null && !paths.isDirect(cluster);
  }

  /** Whether the network of this address may make one more flow. */
  #mayBegin(family: 4 | 6, ip: Uint8Array, ipOffset: number, now: number): boolean {
    return this.#options.sourceLimit?.take(ip, ipOffset, family, now) !== false;
  }

  /** Reads the token at the beginning of the ufrag that was found last. */
  #decode(data: Uint8Array): boolean {
    const { ufragOffset, ufragLength } = this.#stun;
    if (!this.#options.keys.decodeUfrag(data, ufragOffset, ufragLength, this.token)) return false;
    this.#counters.add('tokensDecoded', 1);
    return true;
  }

  #obtain(family: 4 | 6, ip: Uint8Array, ipOffset: number, port: number, now: number): number {
    const flow = this.flows.obtain(ip, ipOffset, family, port, now);
    if (this.flows.inserted) this.#counters.add('flowsRouted', 1);
    return flow;
  }

  /** An entry of a client that came through another relay. */
  #fromRelay(now: number): EntryVerdict {
    const { trunk } = this;
    if (trunk.hasVia) return 'relay-loop';
    const { payloadOffset, payloadLength, family, ipOffset, port } = trunk;
    return this.fromClient(this.#trunkData, payloadOffset, payloadLength, family, this.#trunkData, ipOffset, port, now, true);
  }

  /** Makes a flow for the client of the current entry as the other relay knows it; -1 when it says nothing usable. */
  #fromHint(now: number): number {
    const { flows, trunk } = this;
    if (!this.#options.allowTargets.contains(this.#trunkData, trunk.targetOffset)) return -1;
    const flow = flows.obtain(this.#trunkData, trunk.ipOffset, trunk.family, trunk.port, now);
    flows.setTarget(flow, this.#trunkData, trunk.targetOffset, false);
    this.#counters.add('flowsHinted', 1);
    return flow;
  }

  #control(now: number): EntryVerdict {
    const { trunk, source } = this;
    const kind = pathProbeKind(this.#trunkData, trunk.payloadOffset, trunk.payloadLength);
    if (kind === 'probe' && !trunk.towardsClients) return 'probe';
    if (kind === 'report' && trunk.towardsClients) this.#options.transceivers?.answer(source, this.#trunkData, trunk.payloadOffset, now);
    if (kind === 'echo' && trunk.towardsClients) {
      const number = pathProbeNumber(this.#trunkData, trunk.payloadOffset);
      this.#options.paths?.answer(source, number, pathProbeCluster(this.#trunkData, trunk.payloadOffset), now);
    }
    // Anything else is of a later version.
    return 'done';
  }

  #toCluster(cluster: number, family: 4 | 6, ip: Uint8Array, ipOffset: number, port: number): ClientVerdict {
    const { paths } = this.#options;
    if (paths === null || !paths.choose(cluster, ip, ipOffset, family, port)) return 'cluster-unreachable';
    this.#forward(paths.endpoint, 0);
    this.toCluster = true;
    return 'forward';
  }

  #forward(target: Uint8Array, offset: number): 'forward' {
    this.target = target;
    this.targetOffset = offset;
    this.hint = null;
    this.toCluster = false;
    return 'forward';
  }

  #mayLeadTo(target: Uint8Array, offset: number): boolean {
    const cluster = clusterOfTarget(target, offset);
    return cluster < 0 ? this.#options.allowTargets.contains(target, offset) : this.#options.paths?.knows(cluster) === true;
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
    const voucher = this.#voucher;
    const flow = flows.obtain(this.#trunkData, trunk.ipOffset, trunk.family, trunk.port, now);
    const isNew = flows.inserted;
    if (isNew) this.#counters.add('flowsReturned', 1);
    else if (flows.goesTo(flow, voucher)) {
      if (flows.isVerified(flow)) return;
    } else this.#counters.add('flowsMoved', 1);
    flows.setTarget(flow, voucher, 0, true);
    this.#options.recovery?.learned(this.#trunkData, trunk.ipOffset, trunk.family, trunk.port, voucher, 0);
  }
}
