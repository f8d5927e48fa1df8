import { SdpError } from './error.ts';

/** One line of a session description, remembered with its number so that an error can name it. */
export interface SdpLine {
  /** 1-based. */
  readonly number: number;
  readonly text: string;
  /** The letter before `=`; empty for a line that has none. */
  readonly type: string;
  /** Of `a=`: the attribute's name. Of `m=`: the media type. Empty otherwise. */
  readonly name: string;
  /** What follows the name, or the `=`. */
  readonly value: string;
}

/** The lines of one m= section, or those before the first one. */
export interface SdpSection {
  /** Null for the session part. */
  readonly media: SdpLine | null;
  readonly lines: readonly SdpLine[];
}

export interface SdpSections {
  readonly session: SdpSection;
  readonly media: readonly SdpSection[];
}

export interface MediaFields {
  /** `audio`, `video`, `application` … */
  readonly type: string;
  readonly port: number;
  readonly protocol: string;
  /** Payload types, or `webrtc-datachannel`, or the SCTP port of the legacy form. */
  readonly formats: readonly string[];
}

/** Limits on what is read at all; a browser's offer with video and every codec has about 10 KB and 250 lines. */
export const MAX_SDP_LENGTH = 65_536;
export const MAX_SDP_LINES = 2_000;
export const MAX_SDP_LINE_LENGTH = 4_096;
export const MAX_MEDIA_SECTIONS = 32;

// Control characters other than tab have no place in SDP, and must not reach a log or an answer.
// oxlint-disable-next-line no-control-regex
const LINE = /^[a-z]=[^\u0000-\u0008\u000b-\u001f\u007f]*$/;

/**
 * Splits a session description, or a fragment of one, into numbered lines and sections.
 * @throws {SdpError}
 */
export function readSections(text: string): SdpSections {
  if (text.length > MAX_SDP_LENGTH) {
    throw new SdpError('too-large', `the session description has ${text.length} characters; ${MAX_SDP_LENGTH} are allowed`);
  }
  const raw = text.split(/\r\n|\n|\r/, MAX_SDP_LINES + 1);
  if (raw.length > MAX_SDP_LINES) {
    throw new SdpError('too-large', `the session description has more than ${MAX_SDP_LINES} lines`);
  }
  const session: SdpLine[] = [];
  const media: { media: SdpLine; lines: SdpLine[] }[] = [];
  raw.forEach((content, index) => {
    if (content.trim() === '') return;
    const line = readLine(content, index + 1);
    const section = media[media.length - 1];
    if (line.type === 'm') {
      media.push({ media: line, lines: [] });
      if (media.length > MAX_MEDIA_SECTIONS) {
        throw new SdpError('too-large', `more than ${MAX_MEDIA_SECTIONS} media sections`, line);
      }
    } else {
      (section ? section.lines : session).push(line);
    }
  });
  return { session: { media: null, lines: session }, media };
}

/** The attribute of this name that comes first, or null. */
export function findAttribute(section: SdpSection, name: string): SdpLine | null {
  return section.lines.find((line) => line.type === 'a' && line.name === name) ?? null;
}

/** All attributes of this name, in order. */
export function findAttributes(section: SdpSection, name: string): SdpLine[] {
  return section.lines.filter((line) => line.type === 'a' && line.name === name);
}

/**
 * Reads an m= line.
 * @throws {SdpError} when it is not one
 */
export function mediaFields(line: SdpLine): MediaFields {
  const [, type = '', port, protocol = '', formats = ''] = MEDIA.exec(line.value) ?? [];
  if (!(Number(port) <= 65_535)) throw new SdpError('malformed-line', 'expected m=<media> <port> <protocol> <formats>', line);
  return { type, port: Number(port), protocol, formats: formats.split(' ') };
}

/** The value of an attribute that has to be one token (RFC 8866, section 9), because it is repeated in answers. */
export function tokenValue(line: SdpLine): string {
  if (!TOKEN.test(line.value)) throw new SdpError('malformed-line', 'expected one token without spaces', line);
  return line.value;
}

const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,256}$/;
const MEDIA = /^(\w+) (\d{1,5}) ([\w/]+) ([!-~]+(?: [!-~]+)*) *$/;

function readLine(text: string, number: number): SdpLine {
  const isTooLong = text.length > MAX_SDP_LINE_LENGTH;
  if (isTooLong || !LINE.test(text)) {
    const line: SdpLine = { number, text, type: '', name: '', value: '' };
    if (isTooLong) throw new SdpError('too-large', `the line has ${text.length} characters; ${MAX_SDP_LINE_LENGTH} are allowed`, line);
    throw new SdpError('malformed-line', 'not a line of SDP; expected <letter>=<value>', line);
  }
  const type = text[0];
  const rest = text.slice(2);
  if (type === 'm') return { number, text, type, name: /^\w*/.exec(rest)![0], value: rest };
  if (type !== 'a') return { number, text, type, name: '', value: rest };
  const colon = rest.indexOf(':');
  const name = colon < 0 ? rest.trim() : rest.slice(0, colon);
  return { number, text, type, name, value: colon < 0 ? '' : rest.slice(colon + 1).trim() };
}
