import { encodeInit, readInitChunk, type InitParameters } from '../sctp/init.ts';
import { SdpError } from './error.ts';
import { findAttribute, type SdpSection } from './lines.ts';

/**
 * SNAP (draft-hancke-tsvwg-snap): offer and answer carry each side's SCTP INIT chunk, without common header, in base64.
 * With both, the association needs no handshake of its own: `a=sctp-init:AQAAHoF…`.
 */

/** With or without padding, and nothing else: what a decoder would skip is a mistake of the sender. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/**
 * What the section says of the sender's SCTP; null when it says nothing.
 * @throws {SdpError} for anything but one INIT chunk: ignored, it would leave a peer that counts on it without channels.
 */
export function readSctpInit(section: SdpSection): InitParameters | null {
  const line = findAttribute(section, 'sctp-init');
  if (line === null) return null;
  if (line.value === '' || !BASE64.test(line.value)) throw new SdpError('invalid-sctp-init', 'expected an SCTP INIT chunk in base64', line);
  const init = readInitChunk(Buffer.from(line.value, 'base64'));
  if (init === null) throw new SdpError('invalid-sctp-init', 'this is base64, but not of a valid SCTP INIT chunk (RFC 9260, section 3.3.2)', line);
  return init;
}

/**
 * The association lives on through later descriptions, so they have to repeat what the first one said, or say nothing.
 * @throws {SdpError} for another value
 */
export function requireSameSctpInit(section: SdpSection, agreed: InitParameters | null): void {
  const init = readSctpInit(section);
  if (init === null) return;
  const isSame = agreed !== null && Buffer.compare(encodeInit(init), encodeInit(agreed)) === 0;
  if (!isSame) throw new SdpError('changed-sctp-init', 'it has to stay what it was in the first offer', findAttribute(section, 'sctp-init'));
}

export function sctpInitLine(init: InitParameters): string {
  return `a=sctp-init:${Buffer.from(encodeInit(init)).toString('base64')}`;
}
