/**
 * What everything below is computed from. MEASURED are the project's own figures: each names the command that made it, and
 * is to be replaced when that command says something else. ASSUMED is what nobody can measure here: change it to yours.
 *
 * All of MEASURED come from one machine, 2026-11-23: two virtual cores of an AMD EPYC that the load generator used as well
 * (each slows the other down, by half or more), Debian 12, Node 20, loopback. A core of its own does more; a network card and
 * its interrupts cost more than loopback.
 */
export const MEASURED = {
  /** `npm run bench:relay -- --quick`: mmsg engine at 40,000 packets/s each way. CPU µs for each packet forwarded. */
  relayMicrosPerPacket: 6.7,
  /** `npm run capacity -- --measure`: an echo call, both ways, SRTP and trunk, no codec. CPU ms by the second of call. */
  transceiverMillisPerSecond: 2.1,
  /** `npm run capacity -- --measure`: Opus at 24 kHz, speech, without loss. CPU µs by frame of 20 ms. */
  opusEncodeMicros: 64,
  opusDecodeMicros: 35,
  /** `npm run capacity -- --measure`: offer, ICE, DTLS handshake. CPU ms by call. */
  transceiverMillisPerSetUp: 11.3,
  /** `npm run capacity -- --measure`: CPU ms by offer. */
  gatewayMillisPerOffer: 3.2,
  /** `npm run capacity -- --measure`: growth of the process. KiB by call. */
  transceiverKiBPerCall: 159,
  /** docs/relay.md and src/relay/flow-table.ts: bytes by flow, allocated for the whole table at start. */
  relayBytesPerFlow: 100,
  /** `npm run capacity -- --measure`: bytes and CPU µs by flow written to Redis, in pipelines of 512. */
  redisBytesPerFlow: 213,
  redisMicrosPerWrite: 4.5,
} as const;

export const ASSUMED = {
  /** Mean length of a call, minutes, and the spread of its logarithm: many short ones, a few long ones. */
  callMinutes: 5,
  lengthSigma: 1,
  /** Minutes that a weekly user talks in a week, and how much more is talked at the peak than on average. */
  minutesPerUserAndWeek: 30,
  peakToMean: 2.5,
  /** Frames of 20 ms each way; senders that fall silent send fewer. */
  framesPerSecond: 50,
  /** RTCP and STUN, each way. */
  otherPacketsPerSecond: 1,
  /** Opus at 32 kbit/s. */
  payloadBytes: 80,
  /** RTP header 12, AEAD tag 16. */
  srtpBytes: 28,
  /** UDP 8, IPv4 20. */
  datagramBytes: 28,
  /** Of a trunk datagram for each packet in it: entry header 8 and IPv4 address 4. Bundles are not counted on. */
  trunkEntryBytes: 12,
  /** Header of a trunk datagram. */
  trunkHeaderBytes: 16,
  /** Share of time for which the agent's voice is encoded anew. The caller's is decoded all the time. */
  agentTalkShare: 0.5,
  /** How often a live flow is written to Redis: docs/relay.md. */
  redisWriteSeconds: 30,
  /** Of a core, when it has all the calls it may get: at the peak with a region lost. */
  relayUtilisation: 0.6,
  transceiverUtilisation: 0.75,
  gatewayUtilisation: 0.6,
  redisUtilisation: 0.5,
  /** Worker threads of a pod, as in values.yaml. */
  relayWorkers: 1,
  transceiverWorkers: 2,
  /** Share of arrivals that a region by itself may turn away before its neighbours are asked. */
  blocking: 1e-4,
  /**
   * How full the pods of a region may be on average. A service hands offers to any pod, so some are full before the others:
   * the simulation refuses calls when this is nearer to 1.
   */
  evenFill: 0.93,
  /** The largest region may be lost at the peak. */
  surviveRegion: true,
} as const;

/** Where calls come from, and how many of them at the common peak. Shares add up to 1. */
export const REGIONS = [
  { name: 'virginia', place: { latitude: 38.9, longitude: -77.4 }, share: 0.22 },
  { name: 'oregon', place: { latitude: 45.8, longitude: -119.7 }, share: 0.13 },
  { name: 'sao-paulo', place: { latitude: -23.5, longitude: -46.6 }, share: 0.1 },
  { name: 'frankfurt', place: { latitude: 50.1, longitude: 8.7 }, share: 0.23 },
  { name: 'mumbai', place: { latitude: 19.1, longitude: 72.9 }, share: 0.17 },
  { name: 'tokyo', place: { latitude: 35.7, longitude: 139.7 }, share: 0.15 },
] as const;
