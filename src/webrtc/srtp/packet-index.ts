/** SRTP packet indices: 48 bits, roll-over counter · 2^16 + sequence number. Exact in a double. */
export const MAX_RTP_INDEX = 2 ** 48 - 1;
/** SRTCP indices: 31 bits, sent in the packet. */
export const MAX_RTCP_INDEX = 2 ** 31 - 1;

/**
 * The index that a sequence number most likely stands for: the one nearest to `highest`, the highest index seen so far
 * (RFC 3711, section 3.3.1 and appendix A). May be negative, or above {@link MAX_RTP_INDEX}: no packet has such an
 * index.
 */
export function estimateIndex(highest: number, sequence: number): number {
  const highestSequence = highest % 0x10000;
  const index = highest - highestSequence + sequence;
  if (highestSequence < 0x8000) return sequence - highestSequence > 0x8000 ? index - 0x10000 : index;
  return highestSequence - 0x8000 > sequence ? index + 0x10000 : index;
}
