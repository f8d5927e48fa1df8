import type { TransportAddress } from '../wire/address.ts';

/** A place on Earth, in degrees: north and east are positive. */
export interface Place {
  readonly latitude: number;
  readonly longitude: number;
}

/** A public UDP address of a relay, where callers send to. */
export interface Ingress {
  readonly address: TransportAddress;
  readonly place: Place;
  /** The relay forwards to every cluster, not to its own alone. */
  readonly global: boolean;
  /** Origin of the relay's health and metrics, by which a gateway tells whether it lives. Null: it is not asked. */
  readonly http: URL | null;
}

/** Relays and transceivers that stand together. */
export interface Cluster {
  /** As in the routing tokens and call ids of its transceivers. */
  readonly id: number;
  readonly name: string;
  readonly place: Place;
  /** Origin of its HTTP API: of one transceiver, or of a load balancer or gateway before several. */
  readonly signaling: URL;
  /**
   * Origin of the transceiver that holds a call, with `{ip}` where the IP address of its trunk belongs. Null: requests
   * about a call go to `signaling` as well.
   */
  readonly transceiver: string | null;
  /** Trunk addresses of its relays, for relays of other places to forward to. */
  readonly trunk: readonly TransportAddress[];
  /** Relays of other places reach its transceivers without its relays between. */
  readonly direct: boolean;
  /** Calls at once, of all its transceivers together. Null: as they say. */
  readonly capacity: number | null;
  readonly ingress: readonly Ingress[];
}

/** All that one version of the clusters file says. */
export interface Clusters {
  /** In the order of the file, which is the order of preference where nothing else decides. At least one. */
  readonly list: readonly Cluster[];
  readonly byId: ReadonlyMap<number, Cluster>;
  /** Relays that stand by themselves, near callers, and forward to every cluster. */
  readonly ingress: readonly Ingress[];
}

/** Every public relay address of the file. */
export function allIngress({ list, ingress }: Clusters): Ingress[] {
  return [...list.flatMap((cluster) => cluster.ingress), ...ingress];
}
