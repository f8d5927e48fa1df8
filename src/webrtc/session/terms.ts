import { readUint16, readUint32, writeUint16, writeUint32 } from '../../wire/integers.ts';
import { encodeInitFields, type InitParameters } from '../sctp/init.ts';
import type { Negotiated, NegotiatedAudio, NegotiatedData, OpusParameters } from '../sdp/description.ts';

/** What a session, and a restart of its ICE, need of what offer and answer agreed on. */
export interface SessionTerms extends Pick<Negotiated, 'bundleMids' | 'fingerprints' | 'localSetup'> {
  readonly ice: Pick<Negotiated['ice'], 'ufrag' | 'password'>;
  readonly audio: AudioTerms | null;
  readonly data: DataTerms | null;
}

export interface AudioTerms
  extends Pick<NegotiatedAudio, 'mid' | 'payloadType' | 'clockRate' | 'redPayloadType' | 'extensions' | 'feedback' | 'reducedSizeRtcp'> {
  readonly opus: Pick<OpusParameters, 'useInbandFec'>;
}

export type DataTerms = Pick<NegotiatedData, 'mid' | 'sctpPort' | 'maxMessageSize' | 'init'>;

/**
 * The terms of a call whose answerer is ICE-lite, in as few bytes as it takes to bring them along in an ICE ufrag:
 *
 *   flags u8 × 2 | SHA-256 of the certificate, 32 | ICE ufrag of the client, text
 *   [audio: mid, text | payload type u8 | RED u8 if negotiated | extension ids u8 × 3: mid, level, transport-wide; 0 = none]
 *   [data: mid, text | SCTP port u16 | largest message u32, 0 = no limit | INIT, 16, if it came: RFC 9260, section 3.3.2]
 *
 * Text: length u8, ASCII; 255 = none. The client's ICE password is left out: a lite agent sends no checks.
 */

const FLAGS = {
  audio: 1, data: 1 << 1, nack: 1 << 2, transportCc: 1 << 3, reducedSize: 1 << 4, inbandFec: 1 << 5, red: 1 << 6, init: 1 << 7,
  audioBundled: 1 << 8, dataBundled: 1 << 9, dataFirst: 1 << 10, active: 1 << 11, forwardTsn: 1 << 12, reconfig: 1 << 13,
} as const;
type Flag = keyof typeof FLAGS;

const FINGERPRINT_BYTES = 32;
const MAX_TEXT = 32;
const NO_TEXT = 255;

/** @throws {RangeError} for terms that do not fit; it says which. */
export function encodeTerms({ bundleMids, fingerprints, localSetup, ice, audio, data }: SessionTerms): Uint8Array {
  const [fingerprint] = fingerprints;
  if (fingerprints.length !== 1 || fingerprint.algorithm !== 'sha-256') throw new RangeError('there has to be one certificate fingerprint, of SHA-256');
  const isBundled = (part: AudioTerms | DataTerms | null): boolean => part !== null && part.mid !== null && bundleMids.includes(part.mid);
  const init = data?.init ?? null;
  const flags: Record<Flag, boolean> = {
    audio: audio !== null,
    data: data !== null,
    nack: audio?.feedback.nack === true,
    transportCc: audio?.feedback.transportCc === true,
    reducedSize: audio?.reducedSizeRtcp === true,
    inbandFec: audio?.opus.useInbandFec === true,
    red: audio !== null && audio.redPayloadType !== null,
    init: init !== null,
    audioBundled: isBundled(audio),
    dataBundled: isBundled(data),
    dataFirst: data !== null && data.mid !== null && bundleMids[0] === data.mid,
    active: localSetup === 'active',
    forwardTsn: init?.forwardTsn === true,
    reconfig: init?.reconfig === true,
  };
  let bits = 0;
  for (const [name, bit] of Object.entries(FLAGS)) if (flags[name as Flag]) bits |= bit;
  const { mid = null, audioLevel = null, transportCc = null } = audio?.extensions ?? {};
  return Buffer.concat([
    Uint8Array.of(bits >> 8, bits),
    fingerprint.value,
    encodeText('ICE ufrag', ice.ufrag),
    ...(audio === null ? [] : [
      encodeText('mid of the audio section', audio.mid),
      Uint8Array.of(audio.payloadType, ...(audio.redPayloadType === null ? [] : [audio.redPayloadType]), mid ?? 0, audioLevel ?? 0, transportCc ?? 0),
    ]),
    ...(data === null ? [] : [encodeText('mid of the data section', data.mid), encodeData(data)]),
  ]);
}

/** @throws {RangeError} for bytes that no {@link encodeTerms} of this version wrote. */
export function decodeTerms(bytes: Uint8Array): SessionTerms {
  const reader = new Reader(bytes);
  const bits = reader.u16();
  const has = (name: Flag): boolean => (bits & FLAGS[name]) !== 0;
  const fingerprints = [{ algorithm: 'sha-256' as const, value: Uint8Array.from(reader.take(FINGERPRINT_BYTES)) }];
  const ice = { ufrag: reader.text() ?? '', password: '' };
  const audio = has('audio') ? readAudio(reader, has) : null;
  const data = has('data') ? readData(reader, has) : null;
  reader.end();
  const mids = [has('audioBundled') ? audio?.mid : null, has('dataBundled') ? data?.mid : null];
  if (has('dataFirst')) mids.reverse();
  return {
    bundleMids: mids.filter((mid) => mid !== null && mid !== undefined),
    fingerprints,
    localSetup: has('active') ? 'active' : 'passive',
    ice,
    audio,
    data,
  };
}

function readAudio(reader: Reader, has: (name: Flag) => boolean): AudioTerms {
  const mid = reader.text();
  const payloadType = reader.u8();
  const redPayloadType = has('red') ? reader.u8() : null;
  const extension = (): number | null => reader.u8() || null;
  return {
    mid,
    payloadType,
    clockRate: 48_000,
    redPayloadType,
    extensions: { mid: extension(), audioLevel: extension(), transportCc: extension() },
    feedback: { nack: has('nack'), transportCc: has('transportCc') },
    reducedSizeRtcp: has('reducedSize'),
    opus: { useInbandFec: has('inbandFec') },
  };
}

function readData(reader: Reader, has: (name: Flag) => boolean): DataTerms {
  const mid = reader.text();
  const sctpPort = reader.u16();
  const maxMessageSize = reader.u32() || Infinity;
  const init: InitParameters | null = has('init')
    ? {
        tag: reader.u32(),
        receiveWindow: reader.u32(),
        outboundStreams: reader.u16(),
        inboundStreams: reader.u16(),
        initialTsn: reader.u32(),
        forwardTsn: has('forwardTsn'),
        reconfig: has('reconfig'),
      }
    : null;
  return { mid, sctpPort, maxMessageSize, init };
}

function encodeText(what: string, text: string | null): Uint8Array {
  if (text === null) return Uint8Array.of(NO_TEXT);
  if (text.length > MAX_TEXT || !/^[ -~]*$/.test(text)) throw new RangeError(`the ${what} has to be of ASCII and have ${MAX_TEXT} characters at most`);
  return Buffer.concat([Uint8Array.of(text.length), Buffer.from(text, 'latin1')]);
}

function encodeData({ sctpPort, maxMessageSize, init }: DataTerms): Uint8Array {
  const bytes = new Uint8Array(6);
  writeUint16(bytes, 0, sctpPort);
  // What a call sends at once is far below either.
  writeUint32(bytes, 2, maxMessageSize === Infinity ? 0 : Math.min(maxMessageSize, 0xffff_ffff));
  return init === null ? bytes : Buffer.concat([bytes, encodeInitFields(init)]);
}

class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError('the terms end early');
    return this.#bytes.subarray(from, this.#at);
  }

  u8(): number {
    return this.take(1)[0];
  }

  u16(): number {
    return readUint16(this.take(2), 0);
  }

  u32(): number {
    return readUint32(this.take(4), 0);
  }

  text(): string | null {
    const length = this.u8();
    return length === NO_TEXT ? null : Buffer.from(this.take(length)).toString('latin1');
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError('something follows the terms');
  }
}
