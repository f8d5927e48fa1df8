/**
 * What a datagram on a WebRTC port is, by its first byte (RFC 7983, section 7):
 *
 *                  +----------------+
 *                  |        [0..3] -+--> STUN
 *                  |      [16..19] -+--> ZRTP
 *      packet -->  |      [20..63] -+--> DTLS
 *                  |      [64..79] -+--> TURN channel
 *                  |    [128..191] -+--> RTP/RTCP
 *                  +----------------+
 */
export type DatagramKind = 'stun' | 'dtls' | 'rtp' | 'other';

/** Sorts by the first byte. ZRTP and TURN channel data belong to no Earshot call: they are `other`. */
export function datagramKind(firstByte: number): DatagramKind {
  if (firstByte >= 128) return firstByte <= 191 ? 'rtp' : 'other';
  if (firstByte >= 20) return firstByte <= 63 ? 'dtls' : 'other';
  return firstByte <= 3 ? 'stun' : 'other';
}
