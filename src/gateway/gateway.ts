import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { Cluster, Clusters } from '../clusters/clusters.ts';
import { ClustersFile } from '../clusters/clusters-file.ts';
import type { Logger } from '../observe/log.ts';
import type { MetricReading } from '../observe/metrics.ts';
import { CallError } from '../signaling/call-service.ts';
import { CALLS } from '../signaling/realtime-routes.ts';
import { formatAddress, formatIp } from '../wire/address.ts';
import { CallIdKeys, type CallIdFields } from '../wire/call-id.ts';
import { INGRESS_HEADER, IngressHeaders } from '../wire/ingress-header.ts';
import { GatewayCounters } from './counters.ts';
import { firstAnswer, type Attempt } from './first-answer.ts';
import { GeoDatabase } from './geo-database.ts';
import { HealthMonitor } from './health-monitor.ts';
import { IngressMonitor } from './ingress-monitor.ts';
import { Locator, type HeaderSet, type Location } from './locate.ts';
import { DEFAULT_TRUSTED_PROXIES, Networks } from './networks.ts';
import { forwardedHeaders } from './proxy-headers.ts';
import { chooseIngress, reasonFor, steer, type Candidate, type IngressChoice, type Reason } from './steer.ts';
import { Upstream, type UpstreamResponse } from './upstream.ts';

export interface GatewayOptions {
  /** Path of the clusters file. */
  readonly clusters: string;
  /** Path of a database of IP addresses in MMDB format. */
  readonly geoip?: string;
  /** Which headers of the proxy in front say where a caller is. */
  readonly trustHeaders?: HeaderSet;
  /** Networks of the proxies whose headers are believed. Default: loopback and private ones. */
  readonly trustProxies?: readonly string[];
  /** After this time without an answer the next cluster is asked too, ms. */
  readonly attemptTimeoutMs: number;
  readonly secret: string;
  readonly previousSecret?: string;
  readonly logger: Logger;
}

/** A request of a caller, as much of it as the gateway looks at. */
export interface GatewayRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer | null;
  /** IP address of the connection. */
  readonly peer: string | undefined;
  /** IP address of the caller: see {@link Gateway.callerOf}. */
  readonly caller: Uint8Array | null;
}

/** Which cluster an offer went to, and why; for the log and for callers that ask. */
export interface Decision {
  /** Null when no cluster answered. */
  readonly cluster: string | null;
  readonly reason: Reason | null;
  readonly located: Location['source'];
  readonly candidates: readonly { cluster: string; condition: string; load: number; km: number | null }[];
  readonly attempts: readonly { cluster: string; outcome: string; status: number | null; ms: number }[];
  /** What the caller was told to send to, best first. */
  readonly ingress: readonly string[];
  /** What it would have been told, or told sooner, had it been well. */
  readonly avoided: readonly { ingress: string; condition: string }[];
}

/** How long a request may take in a cluster, ms: as long as the servers there give one. */
const REQUEST_TIMEOUT_MS = 15_000;

/** Starts to probe the clusters and resolves once each was asked. @throws when a file cannot be used. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const proxies = new Networks(options.trustProxies ?? DEFAULT_TRUSTED_PROXIES);
  const database = options.geoip === undefined ? null : await GeoDatabase.open(options.geoip);
  const file = await ClustersFile.open(options.clusters, options.logger);
  const gateway = new Gateway(options, file, new Locator({ headers: options.trustHeaders ?? null, proxies, database }));
  await gateway.open();
  return gateway;
}

/**
 * Brings each offer to the nearest cluster that can take it, and every later request about a call to the cluster that
 * holds it. It remembers no call: the call id tells the cluster.
 */
export class Gateway {
  readonly counters = new GatewayCounters();
  /** The HTTP client to the clusters. */
  readonly upstream = new Upstream();
  readonly #file: ClustersFile;
  readonly #locator: Locator;
  readonly #logger: Logger;
  readonly #attemptTimeoutMs: number;
  readonly #callIds: CallIdKeys;
  readonly #ingressHeaders: IngressHeaders;
  readonly #health: HealthMonitor;
  readonly #relays: IngressMonitor;
  #draining = false;

  constructor({ logger, attemptTimeoutMs, secret, previousSecret }: GatewayOptions, file: ClustersFile, locator: Locator) {
    this.#logger = logger;
    this.#attemptTimeoutMs = attemptTimeoutMs;
    this.#file = file;
    this.#locator = locator;
    this.#callIds = new CallIdKeys(secret, previousSecret);
    this.#ingressHeaders = new IngressHeaders(secret, previousSecret);
    this.#health = new HealthMonitor({ upstream: this.upstream, logger });
    this.#relays = new IngressMonitor({ upstream: this.upstream, logger });
  }

  async open(): Promise<void> {
    this.#file.onChange((clusters) => void this.#watch(clusters));
    await this.#watch(this.#file.current);
  }

  async #watch(clusters: Clusters): Promise<void> {
    await Promise.all([this.#health.watch(clusters), this.#relays.watch(clusters)]);
  }

  /** False while draining, and while no cluster takes calls. */
  get ready(): boolean {
    return !this.#draining && this.#health.states().some(({ condition }) => condition === 'ready');
  }

  /** The caller's IP address, by the connection and the headers of a trusted proxy; null when that says none. */
  callerOf(peer: string | undefined, headers: IncomingHttpHeaders): Uint8Array | null {
    return this.#locator.address(peer, headers);
  }

  /**
   * Brings an offer to a cluster.
   * @param isGone whether the caller has hung up meanwhile: then the call is ended again
   * @returns with the answer what to call for the decision: to write it down takes time that the caller would wait
   * @throws {CallError} 503 when no cluster gives an answer; its `cause` is the decision.
   */
  async placeCall(request: GatewayRequest, isGone: () => boolean): Promise<{ response: UpstreamResponse; decision: () => Decision }> {
    const location = this.#locate(request);
    const clusters = this.#file.current;
    const candidates = steer(location.place, this.#health.states());
    const headers = this.#headersFor(request);
    const given = this.#givenIngress(request);
    const choices = new Map<Cluster, IngressChoice>();
    const { winner, attempts } = await firstAnswer({
      candidates,
      attemptTimeoutMs: this.#attemptTimeoutMs,
      ask: ({ cluster }) => {
        const choice = chooseIngress(location.place, cluster, clusters, (ingress) => this.#relays.conditionOf(ingress));
        choices.set(cluster, choice);
        const ingress = given ?? (choice.addresses.length === 0 ? null : this.#ingressHeaders.format(choice.addresses, Date.now()));
        return this.#send(request, cluster.signaling.origin, ingress === null ? headers : { ...headers, [INGRESS_HEADER]: ingress });
      },
      onFault: ({ cluster }, fault) => this.#health.requestFailed(cluster, fault),
      onLate: ({ cluster }, response) => void this.#hangUp(cluster, request, response),
    });
    const chosen = winner?.candidate ?? null;
    let decided: Decision | null = null;
    const decision = (): Decision => (decided ??= describe(location, candidates, attempts, chosen, chosen && choices.get(chosen.cluster)!));
    if (winner !== null && winner.response.status < 500) this.#health.requestSucceeded(winner.candidate.cluster, winner.response.status === 201);
    // What it counts and writes takes longer than all the rest: not while the caller waits.
    setImmediate(() => this.#writeDown(location, attempts, winner?.response ?? null, decision()));
    if (winner === null) {
      throw new CallError(503, 'no_cluster', 'No cluster takes calls at the moment; try again shortly.', { retryAfter: 2, cause: decision() });
    }
    const { response, candidate } = winner;
    if (isGone()) await this.#hangUp(candidate.cluster, request, response);
    return { response, decision };
  }

  #writeDown({ source }: Location, attempts: readonly Attempt[], response: UpstreamResponse | null, decision: Decision): void {
    this.counters.located(source);
    for (const { candidate, outcome } of attempts) this.counters.attempted(candidate.cluster.name, outcome);
    if (response === null) this.#logger.warn({ decision }, 'no cluster took the offer');
    if (response === null || response.status >= 500) this.counters.offersWithoutCluster++;
    else this.counters.decided(decision.cluster!, decision.reason!);
    if (response === null) return;
    const call = callIdIn(response);
    this.#logger.info({ call: call?.slice(0, 12), status: response.status, decision }, 'offer steered');
    this.#requireOwnCall(decision.cluster!, call);
  }

  /** Brings a request that any cluster can answer to the nearest one that does. @throws {CallError} 503 */
  async askAny(request: GatewayRequest): Promise<UpstreamResponse> {
    const headers = this.#headersFor(request);
    for (const { cluster } of steer(this.#locate(request).place, this.#health.states())) {
      try {
        const response = await this.#send(request, cluster.signaling.origin, headers);
        if (response.status < 500) return response;
      } catch {
        this.#health.requestFailed(cluster, 'unreachable');
      }
    }
    throw new CallError(503, 'no_cluster', 'No cluster answers at the moment; try again shortly.', { retryAfter: 2 });
  }

  /** Brings a request about a call to the cluster that holds it. @throws {CallError} 404 for no call, 502 */
  async askAbout(callId: string, request: GatewayRequest): Promise<UpstreamResponse> {
    const { origin, cluster } = this.whereIs(callId);
    try {
      return await this.#send(request, origin, this.#headersFor(request));
    } catch (error) {
      this.#logger.warn({ call: callId.slice(0, 12), cluster: cluster.name, err: error }, 'the cluster of a call does not answer');
      throw new CallError(502, 'cluster_unreachable', 'The cluster that holds the call does not answer; try again.', { cause: error });
    }
  }

  /** The origin to which requests about a call go. @throws {CallError} 404 when no cluster has such a call. */
  whereIs(callId: string): { origin: string; cluster: Cluster } {
    const fields = this.#callIds.decodeCallId(callId);
    const cluster = fields && this.#file.current.byId.get(fields.cluster);
    if (!fields || !cluster) throw new CallError(404, 'call_not_found', `There is no call "${callId}".`);
    return { origin: transceiverOrigin(cluster, fields), cluster };
  }

  metrics(): MetricReading[] {
    return this.counters.readings(this.#health.states(), this.#relays.states());
  }

  /** Is not ready from now on, and goes on serving for a while, so that load balancers turn away before it closes. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true;
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
  }

  /** Stops probing and cuts the connections to the clusters. Idempotent. */
  close(): void {
    this.#draining = true;
    this.#file.close();
    this.#health.close();
    this.#relays.close();
    this.upstream.close();
  }

  #locate({ peer, headers, caller }: GatewayRequest): Location {
    return this.#locator.locate(caller, peer, headers);
  }

  /** The caller's headers, and the caller's address for a gateway behind this one. */
  #headersFor(request: GatewayRequest): OutgoingHttpHeaders {
    return Object.assign(forwardedHeaders(request.headers), { 'x-forwarded-for': request.caller === null ? 'unknown' : formatIp(request.caller) });
  }

  /** A gateway before this one knew the caller's place better: what it chose is passed on. */
  #givenIngress({ headers }: GatewayRequest): string | null {
    const given = headers[INGRESS_HEADER];
    return typeof given === 'string' && typeof this.#ingressHeaders.parse(given, Date.now()) !== 'string' ? given : null;
  }

  #send({ method, url, body }: GatewayRequest, origin: string, headers: OutgoingHttpHeaders): Promise<UpstreamResponse> {
    return this.upstream.request({ method, origin, path: url, headers, body, timeoutMs: REQUEST_TIMEOUT_MS });
  }

  /** Ends a call that nobody will use. Should it fail, the call ends by itself, as no client ever comes. */
  async #hangUp(cluster: Cluster, { headers, peer, caller }: GatewayRequest, response: UpstreamResponse): Promise<void> {
    const id = callIdIn(response);
    if (id === null) return;
    this.counters.lateAnswers++;
    this.#logger.info({ call: id.slice(0, 12), cluster: cluster.name }, 'hanging up a call that nobody waits for');
    const { authorization } = headers;
    const request = { method: 'DELETE', url: `${CALLS}/${id}`, headers: authorization === undefined ? {} : { authorization }, body: null, peer, caller };
    await this.askAbout(id, request).catch(() => undefined);
  }

  /** Every later request about such a call would go to a wrong cluster: the operator has to know. */
  #requireOwnCall(name: string, callId: string | null): void {
    const cluster = this.#file.current.list.find((each) => each.name === name);
    const owner = callId === null ? cluster?.id : this.#callIds.decodeCallId(callId)?.cluster;
    if (cluster === undefined || owner === cluster.id) return;
    this.#logger.error(
      { cluster: name, id: cluster.id, owner: owner ?? null },
      'the transceivers of this cluster have another cluster id or secret than the clusters file and this gateway',
    );
  }
}

function transceiverOrigin({ transceiver, signaling }: Cluster, { locator }: CallIdFields): string {
  if (transceiver === null || locator.kind !== 0) return signaling.origin;
  const { family, ip } = locator.address;
  return transceiver.replace('{ip}', family === 4 ? formatIp(ip) : `[${formatIp(ip)}]`).replace(/\/$/, '');
}

/** Null when the answer brought no call. */
function callIdIn({ status, headers: { location } }: UpstreamResponse): string | null {
  if (status !== 201 || location === undefined) return null;
  return /\/(rtc_[\w-]+)$/.exec(location)?.[1] ?? null;
}

function describe(
  { source }: Location,
  candidates: readonly Candidate[],
  attempts: readonly Attempt[],
  chosen: Candidate | null,
  ingress: IngressChoice | null,
): Decision {
  const failed = new Set(attempts.filter(({ outcome, fault }) => outcome !== 'answered' && fault !== 'full').map(({ candidate }) => candidate.cluster));
  return {
    cluster: chosen?.cluster.name ?? null,
    reason: chosen && reasonFor(chosen, candidates, failed),
    located: source,
    candidates: candidates.map(({ cluster, condition, load, distanceKm }) => ({
      cluster: cluster.name,
      condition,
      load: Math.round(load * 100) / 100,
      km: distanceKm === null ? null : Math.round(distanceKm),
    })),
    attempts: attempts.map(({ candidate, outcome, status, ms }) => ({ cluster: candidate.cluster.name, outcome, status, ms })),
    ingress: ingress?.addresses.map(formatAddress) ?? [],
    avoided: ingress?.avoided.map(({ address, condition }) => ({ ingress: formatAddress(address), condition })) ?? [],
  };
}
