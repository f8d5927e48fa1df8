import {
  EXTENSION_URIS,
  type AudioExtensions,
  type MediaDirection,
  type NegotiatedAudio,
  type NegotiatedData,
  type OpusParameters,
} from './description.ts';
import {
  findAttribute,
  findAttributes,
  mediaFields,
  tokenValue,
  type MediaFields,
  type SdpLine,
  type SdpSection,
} from './lines.ts';
import { readSctpInit } from './sctp-init.ts';

/** One m= section with what its first line says. */
export interface MediaSection extends SdpSection, MediaFields {
  readonly media: SdpLine;
  readonly mid: string | null;
  /** Port 0 without a=bundle-only: not in use (RFC 9143, section 6). */
  readonly disabled: boolean;
}

/** Payload type, encoding name, clock rate, channels (RFC 8866, section 6.6). */
const RTPMAP = /^(\d{1,3}) ([\w.-]+)(?: *\/ *(\d+)(?: *\/ *(\d+))?)?/;
const FMTP = /^(\d{1,3}) (.*)/;
/** Identifier, direction, URI (RFC 8285, section 5); of an encrypted extension (RFC 6904) the URI says that, and is none of ours. */
const EXTMAP = /^(\d{1,5})(?:\/(\w+))? (\S+)/;
const SECURE_RTP = /^(?:(?:UDP|TCP)\/TLS\/)?RTP\/SAVPF?$/i;
const SCTP_OVER_DTLS = /^(?:(?:UDP|TCP)\/)?DTLS\/SCTP$/i;
const DIRECTIONS: readonly MediaDirection[] = ['sendrecv', 'sendonly', 'recvonly', 'inactive'];
const MIRRORED: Readonly<Record<MediaDirection, MediaDirection>> = {
  sendrecv: 'sendrecv',
  sendonly: 'recvonly',
  recvonly: 'sendonly',
  inactive: 'inactive',
};
/** RFC 8841, section 6.1: without the attribute. */
const DEFAULT_MAX_MESSAGE_SIZE = 65_536;
const DEFAULT_SCTP_PORT = 5000;

/** @throws {SdpError} for a malformed m= or mid line */
export function readMediaSection(section: SdpSection): MediaSection {
  const media = section.media!;
  const fields = mediaFields(media);
  const mid = findAttribute(section, 'mid');
  return {
    ...fields,
    media,
    lines: section.lines,
    mid: mid && tokenValue(mid),
    disabled: fields.port === 0 && !findAttribute(section, 'bundle-only'),
  };
}

/** True for an m= line that can carry Opus over DTLS-SRTP; whether it does is for {@link readAudio} to say. */
export function isSecureAudio(section: MediaSection): boolean {
  return section.type === 'audio' && SECURE_RTP.test(section.protocol);
}

/** Reads an audio section from the other side's view into ours; null when it has no Opus. */
export function readAudio(section: MediaSection, session: SdpSection, wantRed: boolean): NegotiatedAudio | null {
  const codecs = readCodecs(section);
  const opus = codecs.find((codec) => codec.name === 'opus' && codec.rate === 48_000);
  if (!opus) return null;
  const parameters = formatParameters(section);
  const feedback = new Set(
    findAttributes(section, 'rtcp-fb').flatMap((line) => {
      const [format, type, subtype] = line.value.split(/\s+/);
      return (format === '*' || format === String(opus.payloadType)) && subtype === undefined ? [type] : [];
    }),
  );
  return {
    mid: section.mid,
    payloadType: opus.payloadType,
    clockRate: 48_000,
    channels: opus.channels,
    opus: readOpusParameters(parameters.get(opus.payloadType) ?? ''),
    redPayloadType: wantRed ? findRed(codecs, parameters, opus.payloadType) : null,
    extensions: readExtensions(section, session),
    extmapAllowMixed: [section, session].some((part) => findAttribute(part, 'extmap-allow-mixed')),
    feedback: { nack: feedback.has('nack'), transportCc: feedback.has('transport-cc') },
    reducedSizeRtcp: findAttribute(section, 'rtcp-rsize') !== null,
    direction: MIRRORED[readDirection(section, session)],
    remoteSsrc: readSsrc(section),
  };
}

/** Reads a data channel section; null when it is something else. @throws {SdpError} for a malformed a=sctp-init */
export function readData(section: MediaSection): NegotiatedData | null {
  if (section.type !== 'application' || !SCTP_OVER_DTLS.test(section.protocol)) return null;
  const form = section.formats[0].toLowerCase() === 'webrtc-datachannel' ? 'modern' : 'legacy';
  const portText = form === 'modern' ? (findAttribute(section, 'sctp-port')?.value ?? String(DEFAULT_SCTP_PORT)) : section.formats[0];
  const sctpPort = wholeNumber(portText, 65_535);
  if (!sctpPort) return null;
  const limit = wholeNumber(findAttribute(section, 'max-message-size')?.value ?? String(DEFAULT_MAX_MESSAGE_SIZE));
  return {
    mid: section.mid,
    sctpPort,
    maxMessageSize: limit === 0 ? Number.POSITIVE_INFINITY : (limit ?? DEFAULT_MAX_MESSAGE_SIZE),
    form,
    init: readSctpInit(section),
  };
}

interface Codec {
  readonly payloadType: number;
  /** Lower case: encoding names are case-insensitive. */
  readonly name: string;
  readonly rate: number;
  readonly channels: number;
}

/** The codecs that the m= line lists, in its order of preference. */
function readCodecs(section: MediaSection): Codec[] {
  const mapped = new Map<string, Codec>();
  for (const line of findAttributes(section, 'rtpmap')) {
    const [, format, name = '', rate, channels = '1'] = RTPMAP.exec(line.value) ?? [];
    const payloadType = format === undefined ? null : wholeNumber(format, 127);
    if (payloadType === null) continue;
    mapped.set(String(payloadType), { payloadType, name: name.toLowerCase(), rate: Number(rate), channels: wholeNumber(channels, 255) ?? 1 });
  }
  return section.formats.flatMap((format) => mapped.get(format) ?? []);
}

function formatParameters(section: MediaSection): Map<number, string> {
  const parameters = new Map<number, string>();
  for (const line of findAttributes(section, 'fmtp')) {
    const [, format, config = ''] = FMTP.exec(line.value) ?? [];
    if (format !== undefined) parameters.set(Number(format), config);
  }
  return parameters;
}

function readOpusParameters(config: string): OpusParameters {
  const parameters = new Map<string, string>();
  for (const pair of config.split(';')) {
    const [name, value = ''] = pair.split('=', 2);
    parameters.set(name.trim(), value.trim());
  }
  const flag = (name: string): boolean => parameters.get(name) === '1';
  const number = (name: string): number | null => wholeNumber(parameters.get(name) ?? '');
  return {
    useInbandFec: flag('useinbandfec'),
    useDtx: flag('usedtx'),
    stereo: flag('stereo'),
    cbr: flag('cbr'),
    minPtime: number('minptime'),
    maxAverageBitrate: number('maxaveragebitrate'),
    maxPlaybackRate: number('maxplaybackrate'),
  };
}

/** RED whose blocks are all Opus: `a=fmtp:63 111/111`. */
function findRed(codecs: readonly Codec[], parameters: ReadonlyMap<number, string>, opus: number): number | null {
  const red = codecs.find((codec) => {
    const blocks = (parameters.get(codec.payloadType) ?? '').split('/');
    return codec.name === 'red' && codec.rate === 48_000 && blocks.every((block) => block.trim() === String(opus));
  });
  return red ? red.payloadType : null;
}

function readExtensions(section: SdpSection, session: SdpSection): AudioExtensions {
  const ids = new Map<string, number>();
  for (const line of [...findAttributes(session, 'extmap'), ...findAttributes(section, 'extmap')]) {
    const [, number = '', direction = 'sendrecv', uri = ''] = EXTMAP.exec(line.value) ?? [];
    // Identifiers above 14 need the two-byte form, a one-way extension an agreement of its own.
    const id = wholeNumber(number, 14);
    if (id && direction === 'sendrecv') ids.set(uri, id);
  }
  return {
    mid: ids.get(EXTENSION_URIS.mid) ?? null,
    audioLevel: ids.get(EXTENSION_URIS.audioLevel) ?? null,
    transportCc: ids.get(EXTENSION_URIS.transportCc) ?? null,
  };
}

function readDirection(section: SdpSection, session: SdpSection): MediaDirection {
  for (const part of [section, session]) {
    for (const line of part.lines) {
      const direction = line.type === 'a' && DIRECTIONS.find((name) => name === line.name);
      if (direction) return direction;
    }
  }
  return 'sendrecv';
}

function readSsrc(section: SdpSection): number | null {
  const line = findAttribute(section, 'ssrc');
  return line && wholeNumber(line.value.split(' ', 1)[0], 0xffffffff);
}

/** A number of decimal digits alone, up to `max`. */
function wholeNumber(text: string, max = Number.MAX_SAFE_INTEGER): number | null {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return value <= max ? value : null;
}
