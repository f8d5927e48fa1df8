/**
 * The Data Channel Establishment Protocol (RFC 8832): two messages, under payload protocol id 50.
 *
 *   DATA_CHANNEL_OPEN
 *    0                   1                   2                   3
 *    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *   +---------------+---------------+-------------------------------+
 *   |  type = 0x03  | channel type  |           priority            |
 *   +---------------+---------------+-------------------------------+
 *   |  reliability parameter: retransmissions, or lifetime in ms    |
 *   +-------------------------------+-------------------------------+
 *   |         label length          |        protocol length        |
 *   +-------------------------------+-------------------------------+
 *   |  label, protocol (UTF-8)                                      |
 *   +---------------------------------------------------------------+
 *   DATA_CHANNEL_ACK: one byte, 0x02
 */

/** Payload protocol ids (RFC 8831, section 8). The partial ones are deprecated and only read. */
export const Ppid = {
  control: 50,
  string: 51,
  binaryPartial: 52,
  binary: 53,
  stringPartial: 54,
  stringEmpty: 56,
  binaryEmpty: 57,
} as const;

export interface ChannelParameters {
  readonly label: string;
  readonly protocol: string;
  readonly ordered: boolean;
  /** Retransmissions after which a message is given up; null: no such limit. */
  readonly maxRetransmits: number | null;
  /** Lifetime after which a message is given up, ms; null: no such limit. Not both. */
  readonly maxPacketLifeTime: number | null;
}

export type DcepMessage =
  | { readonly type: 'open'; readonly parameters: ChannelParameters }
  | { readonly type: 'ack' };

const TYPE_ACK = 2;
const TYPE_OPEN = 3;
const OPEN_FIXED_BYTES = 12;
const UNORDERED = 0x80;
const RELIABLE = 0;
const LIMITED_RETRANSMITS = 1;
const LIMITED_LIFETIME = 2;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { ignoreBOM: true });

export const DCEP_ACK: Uint8Array = Uint8Array.of(TYPE_ACK);

/** @throws {RangeError} when label or protocol is longer than 65535 bytes of UTF-8. */
export function encodeOpen(parameters: ChannelParameters): Uint8Array {
  const label = ENCODER.encode(parameters.label);
  const protocol = ENCODER.encode(parameters.protocol);
  if (label.length > 0xffff || protocol.length > 0xffff) {
    throw new RangeError('label and protocol of a data channel hold 65535 bytes of UTF-8 each');
  }
  const bytes = new Uint8Array(OPEN_FIXED_BYTES + label.length + protocol.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = TYPE_OPEN;
  bytes[1] = channelType(parameters) | (parameters.ordered ? 0 : UNORDERED);
  view.setUint32(4, parameters.maxRetransmits ?? parameters.maxPacketLifeTime ?? 0);
  view.setUint16(8, label.length);
  view.setUint16(10, protocol.length);
  bytes.set(label, OPEN_FIXED_BYTES);
  bytes.set(protocol, OPEN_FIXED_BYTES + label.length);
  return bytes;
}

/** Reads a DCEP message; null when it is malformed or of an unknown type. */
export function readDcep(bytes: Uint8Array): DcepMessage | null {
  if (bytes.length === 0) return null;
  if (bytes[0] === TYPE_ACK) return { type: 'ack' };
  if (bytes[0] !== TYPE_OPEN || bytes.length < OPEN_FIXED_BYTES) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const limit = bytes[1] & ~UNORDERED;
  const labelEnd = OPEN_FIXED_BYTES + view.getUint16(8);
  const protocolEnd = labelEnd + view.getUint16(10);
  if (limit > LIMITED_LIFETIME || protocolEnd > bytes.length) return null;
  const parameters: ChannelParameters = {
    label: DECODER.decode(bytes.subarray(OPEN_FIXED_BYTES, labelEnd)),
    protocol: DECODER.decode(bytes.subarray(labelEnd, protocolEnd)),
    ordered: (bytes[1] & UNORDERED) === 0,
    maxRetransmits: limit === LIMITED_RETRANSMITS ? view.getUint32(4) : null,
    maxPacketLifeTime: limit === LIMITED_LIFETIME ? view.getUint32(4) : null,
  };
  return { type: 'open', parameters };
}

function channelType(parameters: ChannelParameters): number {
  if (parameters.maxRetransmits !== null) return LIMITED_RETRANSMITS;
  return parameters.maxPacketLifeTime === null ? RELIABLE : LIMITED_LIFETIME;
}
