/**
 * The protocol parameters of RFC 9260, section 16, in milliseconds, with the reason wherever real-time use wants
 * another value than the RFC suggests.
 */

/** RTO.Initial (RFC: 1 s). A lost INIT should not cost a caller a second; a spurious one costs a packet. */
export const RTO_INITIAL = 500;
/**
 * The same for an association that is born established (SNAP): no handshake has measured the path, and what goes first
 * is what the caller waits for. It asks to be acknowledged at once, so the peer's delay needs no room.
 */
export const RTO_INITIAL_AGREED = 250;
/**
 * RTO.Min (RFC: 1 s). Must stay above the 200 ms for which a peer may delay its SACK, or a single small message would
 * be sent twice each time; 300 ms leaves room for the round trip of a nearby peer.
 */
export const RTO_MIN = 300;
/** What a peer may take for an answer that it does not delay, beyond one and a half round trips, ms. */
export const PROMPT_SLACK = 20;
/** RTO.Max (RFC: 60 s). After an outage of the network the association should come back within seconds. */
export const RTO_MAX = 5_000;
/** RTO.Alpha and RTO.Beta as divisors. */
export const RTO_ALPHA = 1 / 8;
export const RTO_BETA = 1 / 4;
/** Max.Burst: packets that may leave upon one event. */
export const MAX_BURST = 4;
/** Association.Max.Retrans: with the RTO limits above, a dead peer is found within about 40 s. */
export const ASSOCIATION_MAX_RETRANSMISSIONS = 10;
/** Max.Init.Retransmits. */
export const MAX_INIT_RETRANSMISSIONS = 8;
/** How often COOKIE ACK is sent again to a peer of which nothing comes. */
export const COOKIE_ACK_REPETITIONS = 3;
/** HB.interval: how long the association is silent before a heartbeat is sent. */
export const HEARTBEAT_INTERVAL = 30_000;
/** Valid.Cookie.Life. */
export const COOKIE_LIFE = 60_000;
/** SACK.Delay. */
export const SACK_DELAY = 200;
/**
 * Initial congestion window in packets (RFC 9260, section 7.2.1, allows about four; RFC 6928 found ten to be safe):
 * the first events of a session leave without waiting a round trip.
 */
export const INITIAL_WINDOW_PACKETS = 10;
/** Missing reports that trigger a fast retransmission (section 7.2.4). */
export const FAST_RETRANSMIT_MISSES = 3;

/** Streams each way: what WebRTC negotiates (RFC 8831, section 6.2); stream 65535 is never used. */
export const STREAMS = 65_535;
/** Advertised receiver window unless told otherwise, bytes: four messages of the largest size. */
export const DEFAULT_RECEIVE_WINDOW = 1_048_576;
/** Largest message taken from the peer unless told otherwise, bytes. */
export const DEFAULT_MAX_RECEIVE_MESSAGE_SIZE = 262_144;
/**
 * Largest SCTP packet unless told otherwise: what a DTLS 1.2 AES-GCM record (37 bytes around it) leaves of a 1200-byte
 * datagram, rounded down to a multiple of four.
 */
export const DEFAULT_MTU = 1_160;
