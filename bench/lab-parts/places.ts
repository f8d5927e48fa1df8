/**
 * The world of the lab: where things stand, and what the network between these places is like. Every figure is a
 * published measurement, or said to be an assumption.
 *
 * [aws]  Average round trips between AWS regions, ms; table of April 2017, after M. Adorjan's measurements:
 *        https://acomputerscientistlearnsaws.blogspot.com/2017/04/aws-regions.html. They run over Amazon's network.
 * [cp]   The same, medians, for Cape Town: https://www.cloudping.co/ (row af-south-1).
 * [argo] D. Tuber, "Argo for Packets is Generally Available", Cloudflare's blog: packets that its network routes take
 *        10 % less time than over the public internet.
 * [via]  J. Jiang et al., "VIA: Improving Internet Telephony Call Quality Using Predictive Relay Selection", SIGCOMM
 *        2016: of 430 million Skype calls 17 % lost more than 1.2 % of their packets, and 17 % had a jitter above 12 ms.
 * [slac] PingER: no loss in a month, that is less than 0.007 %, is commonly observed towards well-connected targets:
 *        https://confluence.slac.stanford.edu/display/IEPM/PingER+comparisons+with+other+measurements
 * [wp]   A day of pings between 250 rented servers, among whose first rows the deviations are 0.14 to 7.4 ms:
 *        https://wonderproxy.com/blog/a-day-in-the-life-of-the-internet/
 * [home] Round trips from homes to the AWS region of their own country, 8 ms in Tokyo and 19 ms in Seoul:
 *        https://gist.github.com/scari/8d8d8bb9273ad04973fb
 */
export const PLACES = {
  virginia: { title: 'Virginia', latitude: 38.95, longitude: -77.45 },
  frankfurt: { title: 'Frankfurt', latitude: 50.11, longitude: 8.68 },
  singapore: { title: 'Singapore', latitude: 1.35, longitude: 103.82 },
  saopaulo: { title: 'São Paulo', latitude: -23.55, longitude: -46.63 },
  sydney: { title: 'Sydney', latitude: -33.87, longitude: 151.21 },
  tokyo: { title: 'Tokyo', latitude: 35.68, longitude: 139.69 },
  capetown: { title: 'Cape Town', latitude: -33.92, longitude: 18.42 },
  california: { title: 'California', latitude: 37.35, longitude: -121.95 },
  dublin: { title: 'Dublin', latitude: 53.35, longitude: -6.26 },
} as const;
export type PlaceName = keyof typeof PLACES;

/** Where there are clusters, by cluster id less one. */
export const CLUSTERS = ['virginia', 'frankfurt', 'singapore'] as const satisfies readonly PlaceName[];
export type ClusterPlace = (typeof CLUSTERS)[number];
/** Where a global relay stands by itself. */
export const RELAYS = ['saopaulo', 'sydney', 'tokyo', 'capetown'] as const satisfies readonly PlaceName[];
export type RelayPlace = (typeof RELAYS)[number];
export const CALLERS = ['saopaulo', 'sydney', 'tokyo', 'capetown', 'california', 'dublin'] as const satisfies readonly PlaceName[];
export type CallerPlace = (typeof CALLERS)[number];

/** Round trips over a backbone, ms: [aws], Cape Town's [cp]. To the clusters, in their order. */
const BACKBONE: Readonly<Record<PlaceName, readonly [virginia: number, frankfurt: number, singapore: number]>> = {
  virginia: [1, 88.66, 216.7],
  frankfurt: [88.62, 1, 325.9],
  singapore: [216.7, 325.9, 1],
  saopaulo: [119.5, 194.9, 328.1],
  sydney: [230, 323.5, 175.3],
  tokyo: [145.3, 236.5, 73.79],
  capetown: [226.85, 155.41, 205.24],
  california: [72.74, 166.6, 174],
  dublin: [80.55, 19.56, 239],
};

/** A link: `jitterMs` is the mean of the delay that comes on top, `loss` the share that is lost one way. */
export interface LinkQuality {
  readonly roundTripMs: number;
  readonly jitterMs: number;
  readonly loss: number;
}

/** From a caller's home to the nearest exchange, in every case: [home]; jitter and loss are assumptions. */
const ACCESS: LinkQuality = { roundTripMs: 12, jitterMs: 2, loss: 0.001 };
/** How much longer the public internet takes than a backbone: [argo]. */
const PUBLIC_STRETCH = 1 / 0.9;
/** Beyond a continent's edge it is a path as one in six calls has it: [via], the limits beyond which it is poor. */
const PUBLIC_FAR = { jitterMs: 12, loss: 0.012 };
/** Within a continent: a deviation in the middle of [wp]; the loss is an assumption. */
const PUBLIC_NEAR = { jitterMs: 3, loss: 0.003 };
/** From this round trip on it is far, ms. */
const FAR_MS = 60;
/** The smallest deviations of [wp], and [slac]. */
const ON_BACKBONE = { jitterMs: 0.3, loss: 0.00007 };

export function backbone(from: PlaceName, to: ClusterPlace): LinkQuality {
  return { roundTripMs: BACKBONE[from][CLUSTERS.indexOf(to)], ...ON_BACKBONE };
}

/** From a caller over the public internet to a cluster. */
export function publicInternet(from: PlaceName, to: ClusterPlace): LinkQuality {
  const roundTripMs = backbone(from, to).roundTripMs * PUBLIC_STRETCH;
  const { jitterMs, loss } = roundTripMs < FAR_MS ? PUBLIC_NEAR : PUBLIC_FAR;
  return { roundTripMs: ACCESS.roundTripMs + roundTripMs, jitterMs: ACCESS.jitterMs + jitterMs, loss: ACCESS.loss + loss };
}

/** From a caller to a global relay: of the caller's place, or of another at the price of the public internet. */
export function toRelay(from: CallerPlace, to: RelayPlace): LinkQuality {
  if (from === to) return ACCESS;
  // Where nobody has published a figure, by way of the cluster that is nearest to both.
  const viaCluster = CLUSTERS.map((cluster) => BACKBONE[from][CLUSTERS.indexOf(cluster)] + BACKBONE[to][CLUSTERS.indexOf(cluster)]);
  return { roundTripMs: ACCESS.roundTripMs + Math.min(...viaCluster) * PUBLIC_STRETCH, jitterMs: ACCESS.jitterMs + PUBLIC_FAR.jitterMs, loss: ACCESS.loss + PUBLIC_FAR.loss };
}
