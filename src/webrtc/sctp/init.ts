import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import type { RandomSource } from '../machine.ts';
import { CHUNK_HEADER_BYTES, ChunkType, encodeChunk, padded } from './packet.ts';
import { encodeParameter, joinParameters, ParameterReader, ParameterType, unknownTypeAction } from './parameters.ts';
import { STREAMS } from './protocol-parameters.ts';

/**
 * INIT and INIT ACK (RFC 9260, sections 3.3.2 and 3.3.3): what each side says of itself when an association is born.
 *
 *   initiate tag (32) | a_rwnd (32) | outbound streams (16) | inbound streams (16) | initial TSN (32) | parameters
 *
 * The encoded chunk stands for itself, without common header: an association can also be born from two INIT chunks
 * that travelled by other means.
 */
export interface InitParameters {
  /** The verification tag of all packets towards the sender of this chunk; never 0. */
  readonly tag: number;
  /** Advertised receiver window, bytes. */
  readonly receiveWindow: number;
  readonly outboundStreams: number;
  readonly inboundStreams: number;
  readonly initialTsn: number;
  /** FORWARD TSN is understood (RFC 3758). */
  readonly forwardTsn: boolean;
  /** RE-CONFIG is understood (RFC 6525). */
  readonly reconfig: boolean;
}

export interface ReadInit {
  readonly init: InitParameters;
  /** INIT ACK only: the state cookie to echo; null when there is none. */
  readonly cookie: Uint8Array | null;
  /** Whole parameters that the sender wants reported as unrecognized. */
  readonly unrecognized: readonly Uint8Array[];
}

const FIXED_BYTES = 16;
/** Of what a peer wants reported, this much is: the answer must fit one packet. */
const MAX_REPORTED_BYTES = 256;
const HOST_NAME_ADDRESS = 11;

/** Parameters that are understood, or known to mean nothing over DTLS: addresses, cookie life span, ECN. */
const KNOWN_PARAMETERS: ReadonlySet<number> = new Set([
  5, 6, 9, 12, 0x8000,
  ParameterType.stateCookie,
  ParameterType.unrecognizedParameter,
  ParameterType.supportedExtensions,
  ParameterType.forwardTsnSupported,
]);

/** What we say of ourselves, with a tag and a TSN of its own. `receiveWindow` in bytes. */
export function newInit(random: RandomSource, receiveWindow: number): InitParameters {
  const numbers = new Uint8Array(8);
  random(numbers);
  return {
    tag: readUint32(numbers, 0) || 1,
    receiveWindow,
    outboundStreams: STREAMS,
    inboundStreams: STREAMS,
    initialTsn: readUint32(numbers, 4),
    forwardTsn: true,
    reconfig: true,
  };
}

/** Reads a whole INIT chunk that stands for itself, padded or not; null for anything else or one that breaks the rules. */
export function readInitChunk(bytes: Uint8Array): InitParameters | null {
  if (bytes.length < CHUNK_HEADER_BYTES || bytes[0] !== ChunkType.init) return null;
  const length = readUint16(bytes, 2);
  if (length > bytes.length || padded(length) < bytes.length) return null;
  return readInit(bytes, CHUNK_HEADER_BYTES, length)?.init ?? null;
}

/** Reads the value of an INIT or INIT ACK chunk; null when it breaks the rules of RFC 9260, section 3.3.2. */
export function readInit(bytes: Uint8Array, start: number, end: number): ReadInit | null {
  if (end - start < FIXED_BYTES) return null;
  const tag = readUint32(bytes, start);
  const outboundStreams = readUint16(bytes, start + 8);
  const inboundStreams = readUint16(bytes, start + 10);
  if (tag === 0 || outboundStreams === 0 || inboundStreams === 0) return null;
  let forwardTsn = false;
  let reconfig = false;
  let cookie: Uint8Array | null = null;
  const unrecognized: Uint8Array[] = [];
  let reported = 0;
  const reader = new ParameterReader(bytes, start + FIXED_BYTES, end);
  while (reader.next()) {
    if (reader.type === HOST_NAME_ADDRESS) return null;
    if (reader.type === ParameterType.forwardTsnSupported) forwardTsn = true;
    if (reader.type === ParameterType.stateCookie) cookie = reader.value.slice();
    if (reader.type === ParameterType.supportedExtensions) {
      forwardTsn ||= reader.value.includes(ChunkType.forwardTsn);
      reconfig ||= reader.value.includes(ChunkType.reconfig);
    }
    if (KNOWN_PARAMETERS.has(reader.type)) continue;
    const action = unknownTypeAction(reader.type >>> 14);
    const length = reader.end - reader.header;
    if (action.report && reported + length <= MAX_REPORTED_BYTES) {
      unrecognized.push(bytes.slice(reader.header, reader.end));
      reported += length;
    }
    if (!action.skip) break;
  }
  if (reader.malformed) return null;
  const init: InitParameters = {
    tag,
    receiveWindow: readUint32(bytes, start + 4),
    outboundStreams,
    inboundStreams,
    initialTsn: readUint32(bytes, start + 12),
    forwardTsn,
    reconfig,
  };
  return { init, cookie, unrecognized };
}

/** An INIT chunk. */
export function encodeInit(init: InitParameters): Uint8Array {
  return encodeChunk(ChunkType.init, 0, encodeInitFields(init), joinParameters(extensions(init)));
}

/** An INIT ACK chunk with its state cookie and the parameters of the INIT that were not understood. */
export function encodeInitAck(
  init: InitParameters,
  cookie: Uint8Array,
  unrecognized: readonly Uint8Array[],
): Uint8Array {
  const parameters = [
    encodeParameter(ParameterType.stateCookie, cookie),
    ...extensions(init),
    ...unrecognized.map((parameter) => encodeParameter(ParameterType.unrecognizedParameter, parameter)),
  ];
  return encodeChunk(ChunkType.initAck, 0, encodeInitFields(init), joinParameters(parameters));
}

/** The fields that every INIT has, without parameters: 16 bytes. */
export function encodeInitFields(init: InitParameters): Uint8Array {
  const fixed = new Uint8Array(FIXED_BYTES);
  writeUint32(fixed, 0, init.tag);
  writeUint32(fixed, 4, init.receiveWindow);
  writeUint16(fixed, 8, init.outboundStreams);
  writeUint16(fixed, 10, init.inboundStreams);
  writeUint32(fixed, 12, init.initialTsn);
  return fixed;
}

function extensions(init: InitParameters): Uint8Array[] {
  const chunkTypes: number[] = [];
  if (init.reconfig) chunkTypes.push(ChunkType.reconfig);
  if (init.forwardTsn) chunkTypes.push(ChunkType.forwardTsn);
  const parameters: Uint8Array[] = [];
  if (init.forwardTsn) parameters.push(encodeParameter(ParameterType.forwardTsnSupported, new Uint8Array(0)));
  if (chunkTypes.length > 0) {
    parameters.push(encodeParameter(ParameterType.supportedExtensions, Uint8Array.from(chunkTypes)));
  }
  return parameters;
}
