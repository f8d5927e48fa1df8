import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stringify } from 'yaml';
import { EarshotProcess } from '../../test/support/earshot-process.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { TcpLink, type TcpLinkOptions } from '../support/tcp-link.ts';
import { UdpLink } from './link.ts';
import { backbone, CALLERS, type CallerPlace, CLUSTERS, type ClusterPlace, type LinkQuality, PLACES, type PlaceName, publicInternet, RELAYS, type RelayPlace, toRelay } from './places.ts';

const ENVIRONMENT = { EARSHOT_SECRET: 'a secret that all processes of the lab share' };
/** Trunk addresses of a cluster: its relay has a worker for each. */
const PATHS = 2;

/** Each process has an address of its own, 127.<kind>.<place>.<number>; ports are the usual ones. */
const ip = (kind: number, place: PlaceName, number = 1): string => `127.${kind}.${Object.keys(PLACES).indexOf(place) + 1}.${number}`;
const [RELAY, TRANSCEIVER, GATEWAY, CALLER, LINK, TRUNK_LINK, SIGNALING_LINK] = [11, 12, 13, 14, 15, 16, 17];
const UDP = 3478;
const TRUNK = 7000;
const HTTP = 8080;
const RELAY_HTTP = 9090;

const ingressAt = (place: PlaceName): string => `${ip(RELAY, place)}:${UDP}`;

/** HTTP between two places: a new connection costs TCP's and TLS 1.3's handshakes, a round trip each. */
const ofNewConnections = ({ roundTripMs }: LinkQuality): TcpLinkOptions => ({ roundTripMs, handshakes: 2 });

/** Three clusters, four global relays, gateways and Redis as processes, and the links between all of them. */
export class World {
  readonly #folder: string;
  readonly #random: () => number;
  readonly #processes = new Map<string, { process: EarshotProcess; args: readonly string[]; url: string }>();
  readonly #gatewayLinks = new Map<CallerPlace, TcpLink>();
  /** From a gateway to the clusters of other places. */
  readonly #signalingLinks = new Map<string, TcpLink>();
  readonly #callerLinks = new Map<string, UdpLink>();
  readonly #trunkLinks = new Map<string, UdpLink>();
  #redis: RedisServer | null = null;

  private constructor(folder: string, random: () => number) {
    this.#folder = folder;
    this.#random = random;
  }

  static async start(random: () => number): Promise<World> {
    const world = new World(await mkdtemp(path.join(tmpdir(), 'earshot-lab-')), random);
    try {
      await world.#start();
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  /** `…/v1/realtime/calls` of the gateway that is nearest to a place, over a connection to be made anew. */
  async endpoint(from: CallerPlace): Promise<string> {
    const link = this.#gatewayLinks.get(from)!;
    link.reset();
    // The HTTP client has to notice that its connections are gone.
    await pause(50);
    return `http://${link.address}/v1/realtime/calls`;
  }

  /** A caller's own IP address. */
  callerIp(from: CallerPlace): string {
    return ip(CALLER, from, 200);
  }

  /** What a caller has to send to in order to reach a relay; null for one that is not of this world. */
  route(from: CallerPlace, ingress: string): string | null {
    return this.#callerLinks.get(`${from} ${ingress}`)?.address ?? null;
  }

  /** The place of the relay that a caller reaches at this address; null for none. */
  relayBehind(from: CallerPlace, address: string): PlaceName | null {
    return [...CLUSTERS, ...RELAYS].find((place) => this.route(from, ingressAt(place)) === address) ?? null;
  }

  /** The share that the link from a relay to a caller loses. */
  lossBetween(from: CallerPlace, relay: PlaceName): number {
    return this.#callerLinks.get(`${from} ${ingressAt(relay)}`)!.loss;
  }

  /** Where a relay of this address, or the link to it, is. */
  placeOf(address: string): PlaceName | null {
    return (Object.keys(PLACES) as PlaceName[]).find((place) => ingressAt(place) === address) ?? null;
  }

  cutTrunk(from: RelayPlace, to: ClusterPlace, trunkPath: number, isCut: boolean): void {
    this.#trunkLinks.get(`${from} ${to} ${trunkPath}`)!.isCut = isCut;
  }

  /** `relay saopaulo`, `transceiver virginia` and the like. Ends it as a crash would. */
  async kill(name: string): Promise<void> {
    await this.#processes.get(name)!.process.kill();
  }

  async restart(name: string): Promise<void> {
    const { args, url } = this.#processes.get(name)!;
    await this.#run(name, args, url);
  }

  async metrics(name: string): Promise<string> {
    return (await fetch(`${this.#processes.get(name)!.url}/metrics`)).text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#processes.values()].map(({ process }) => process.kill()));
    await this.#redis?.kill();
    for (const link of [...this.#callerLinks.values(), ...this.#trunkLinks.values()]) await link.close();
    for (const link of [...this.#gatewayLinks.values(), ...this.#signalingLinks.values()]) link.close();
    await rm(this.#folder, { recursive: true });
  }

  async #start(): Promise<void> {
    this.#redis = await RedisServer.start();
    await this.#openLinks();
    const files = new Map<string, string>();
    for (const place of [...RELAYS, ...CLUSTERS]) files.set(place, await this.#writeClusters(place));
    const redis = ['--redis', this.#redis.url];
    const starting: (() => Promise<void>)[] = [];
    for (const [i, place] of CLUSTERS.entries()) {
      const cluster = ['--cluster', String(i + 1)];
      const [relayHttp, http] = [`${ip(RELAY, place)}:${RELAY_HTTP}`, `${ip(TRANSCEIVER, place)}:${HTTP}`];
      starting.push(
        () => this.#run(`relay ${place}`, ['relay', '--udp', ingressAt(place), '--trunk', `${ip(RELAY, place)}:${TRUNK}`, '--http', relayHttp, '--workers', String(PATHS), ...cluster, ...redis], `http://${relayHttp}`),
        () => this.#run(`transceiver ${place}`, ['transceiver', '--http', http, '--trunk', `${ip(TRANSCEIVER, place)}:7100`, '--ingress', ingressAt(place), '--agent', 'echo', '--workers', '1', ...cluster], `http://${http}`),
      );
    }
    for (const place of RELAYS) {
      const http = `${ip(RELAY, place)}:${RELAY_HTTP}`;
      starting.push(() => this.#run(`relay ${place}`, ['relay', '--udp', ingressAt(place), '--trunk', `${ip(RELAY, place)}:${TRUNK}`, '--http', http, '--workers', '1', '--clusters', files.get(place)!, ...redis], `http://${http}`));
    }
    // Two at a time: a process that starts takes a core.
    for (let i = 0; i < starting.length; i += 2) await Promise.all(starting.slice(i, i + 2).map((start) => start()));
    await Promise.all(
      CLUSTERS.map((place) => {
        const http = `${ip(GATEWAY, place)}:${HTTP}`;
        return this.#run(`gateway ${place}`, ['gateway', '--http', http, '--clusters', files.get(place)!, '--trust-headers', 'generic', '--attempt-timeout', '5s', '--drain-timeout', '0s'], `http://${http}`);
      }),
    );
  }

  async #run(name: string, args: readonly string[], url: string): Promise<void> {
    const started = new EarshotProcess([...args, '--log-level', 'warn'], ENVIRONMENT);
    this.#processes.set(name, { process: started, args, url });
    await started.ready(url);
  }

  async #openLinks(): Promise<void> {
    const random = this.#random;
    for (const caller of CALLERS) {
      let port = 20_000;
      const nearest = CLUSTERS.toSorted((a, b) => backbone(caller, a).roundTripMs - backbone(caller, b).roundTripMs)[0];
      this.#gatewayLinks.set(caller, await TcpLink.open(`${ip(LINK, caller)}:${HTTP}`, `${ip(GATEWAY, nearest)}:${HTTP}`, ofNewConnections(publicInternet(caller, nearest))));
      const open = async (place: ClusterPlace | RelayPlace, quality: ReturnType<typeof toRelay>): Promise<void> => {
        const link = await UdpLink.open(`${ip(LINK, caller)}:${port++}`, ingressAt(place), ip(CALLER, caller), quality, random);
        this.#callerLinks.set(`${caller} ${ingressAt(place)}`, link);
      };
      for (const place of CLUSTERS) await open(place, publicInternet(caller, place));
      for (const place of RELAYS) await open(place, toRelay(caller, place));
    }
    for (const [i, from] of CLUSTERS.entries()) {
      for (const to of CLUSTERS.filter((place) => place !== from)) {
        const at = `${ip(SIGNALING_LINK, to, i + 1)}:${HTTP}`;
        this.#signalingLinks.set(`${from} ${to}`, await TcpLink.open(at, `${ip(TRANSCEIVER, to)}:${HTTP}`, ofNewConnections(backbone(from, to))));
      }
    }
    for (const from of RELAYS) {
      for (const to of CLUSTERS) {
        for (let i = 0; i < PATHS; i++) {
          const link = await UdpLink.open(`${ip(TRUNK_LINK, from, CLUSTERS.indexOf(to) + 1)}:${TRUNK + i}`, `${ip(RELAY, to)}:${TRUNK + i}`, ip(TRUNK_LINK, from, 100), backbone(from, to), random);
          this.#trunkLinks.set(`${from} ${to} ${i}`, link);
        }
      }
    }
  }

  /** As the global relay of that place, or the gateway there, sees the world. */
  async #writeClusters(place: RelayPlace | ClusterPlace): Promise<string> {
    const file = path.join(this.#folder, `${place}.yaml`);
    const clusters = CLUSTERS.map((name, i) => {
      const { latitude, longitude } = PLACES[name];
      const trunk = Array.from({ length: PATHS }, (_, at) => this.#trunkLinks.get(`${place} ${name} ${at}`)?.address).filter((address) => address !== undefined);
      const signaling = this.#signalingLinks.get(`${place} ${name}`)?.address ?? `${ip(TRANSCEIVER, name)}:${HTTP}`;
      return { id: i + 1, name, latitude, longitude, signaling: `http://${signaling}`, trunk, ingress: [{ address: ingressAt(name), http: `http://${ip(RELAY, name)}:${RELAY_HTTP}` }] };
    });
    const ingress = RELAYS.map((name) => ({ address: ingressAt(name), latitude: PLACES[name].latitude, longitude: PLACES[name].longitude, http: `http://${ip(RELAY, name)}:${RELAY_HTTP}` }));
    await writeFile(file, stringify({ clusters, ingress }));
    return file;
  }
}
