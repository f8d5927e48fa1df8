import { isIcePassword, isIceUfrag } from '../ice/credentials.ts';
import { parseIp } from '../../wire/address.ts';
import type { Fingerprint, FingerprintAlgorithm, Negotiated, SdpCandidate } from './description.ts';
import { SdpError } from './error.ts';
import { findAttribute, findAttributes, type SdpLine, type SdpSection } from './lines.ts';

/** What a description says about the sender's transport. */
export interface RemoteTransport {
  readonly ice: Negotiated['ice'];
  readonly fingerprints: readonly Fingerprint[];
  readonly setup: Negotiated['remoteSetup'];
  /** The a=setup line, to name it; null when there is none. */
  readonly setupLine: SdpLine | null;
}

const DIGEST_BYTES: Readonly<Record<FingerprintAlgorithm, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 };
/** Foundation, component 1, UDP, priority, address, port (RFC 8839, section 5.1). */
const CANDIDATE = /^\S+ 1 udp (\d{1,10}) (\S+) (\d{1,5}) typ \S/i;
const HEX_PAIRS = /^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*$/;

/**
 * Reads ICE credentials, fingerprints and setup of the section that carries the transport. Each may be given by the
 * section or by the session; the section's word counts.
 * @throws {SdpError}
 */
export function readTransport(section: SdpSection, session: SdpSection): RemoteTransport {
  const setupLine = findAttribute(section, 'setup') ?? findAttribute(session, 'setup');
  return {
    ice: readIce(section, session),
    fingerprints: readFingerprints(section, session),
    setup: readSetup(setupLine),
    setupLine,
  };
}

/** True when the section or the session names ICE credentials. */
export function hasIce(section: SdpSection): boolean {
  return findAttribute(section, 'ice-ufrag') !== null && findAttribute(section, 'ice-pwd') !== null;
}

/**
 * Reads ICE credentials and options.
 * @throws {SdpError}
 */
export function readIce(section: SdpSection, session: SdpSection): Negotiated['ice'] {
  const owner = hasIce(section) ? section : session;
  const ufrag = findAttribute(owner, 'ice-ufrag');
  const password = findAttribute(owner, 'ice-pwd');
  if (!ufrag || !password) {
    const missing = ufrag ?? findAttribute(section, 'ice-ufrag') ? 'a=ice-pwd' : 'a=ice-ufrag';
    throw new SdpError('missing-ice', `${missing} is missing in this section and in the session part`, section.media);
  }
  if (!isIceUfrag(ufrag.value)) {
    throw new SdpError('invalid-ice', 'expected 4 to 256 letters, digits, + or /', ufrag);
  }
  if (!isIcePassword(password.value)) {
    throw new SdpError('invalid-ice', 'expected 22 to 256 letters, digits, + or /', password);
  }
  const lines = [...findAttributes(session, 'ice-options'), ...findAttributes(section, 'ice-options')];
  // Tokens are parted by spaces; libdatachannel writes commas.
  const options = lines.flatMap((line) => line.value.split(/[\s,]+/)).filter((option) => option !== '');
  return { ufrag: ufrag.value, password: password.value, options: [...new Set(options)] };
}

/** UDP candidates with an IP address, for RTP; names (mDNS), TCP and RTCP candidates are left out. */
export function readCandidates(section: SdpSection): Required<SdpCandidate>[] {
  const candidates: Required<SdpCandidate>[] = [];
  for (const line of findAttributes(section, 'candidate')) {
    const [, priority, address = '', port] = CANDIDATE.exec(line.value) ?? [];
    const ip = parseIp(address);
    if (!ip || !(Number(port) > 0 && Number(port) <= 65_535) || !(Number(priority) <= 0xffffffff)) continue;
    candidates.push({ address: { family: ip.length === 4 ? 4 : 6, ip, port: Number(port) }, priority: Number(priority) });
  }
  return candidates;
}

function readFingerprints(section: SdpSection, session: SdpSection): Fingerprint[] {
  const own = findAttributes(section, 'fingerprint');
  const lines = own.length > 0 ? own : findAttributes(session, 'fingerprint');
  if (lines.length === 0) {
    throw new SdpError('missing-fingerprint', 'a=fingerprint is missing in this section and in the session part', section.media);
  }
  const fingerprints: Fingerprint[] = [];
  let unsupported: { line: SdpLine; algorithm: string } | null = null;
  for (const line of lines) {
    const [name, hash = ''] = line.value.split(' ', 2);
    if (!HEX_PAIRS.test(hash)) {
      throw new SdpError('invalid-fingerprint', 'expected <algorithm> <hex pairs parted by colons>', line);
    }
    const algorithm = name.toLowerCase();
    if (!isSupported(algorithm)) {
      unsupported ??= { line, algorithm };
      continue;
    }
    const value = new Uint8Array(Buffer.from(hash.replaceAll(':', ''), 'hex'));
    if (value.length !== DIGEST_BYTES[algorithm]) {
      const message = `${algorithm} has ${DIGEST_BYTES[algorithm]} bytes, this value has ${value.length}`;
      throw new SdpError('invalid-fingerprint', message, line);
    }
    fingerprints.push({ algorithm, value });
  }
  if (fingerprints.length === 0 && unsupported) {
    const message = `hash algorithm ${unsupported.algorithm.slice(0, 32)} is not supported; use sha-256`;
    throw new SdpError('unsupported-fingerprint', message, unsupported.line);
  }
  return fingerprints;
}

function isSupported(algorithm: string): algorithm is FingerprintAlgorithm {
  return Object.hasOwn(DIGEST_BYTES, algorithm);
}

function readSetup(line: SdpLine | null): Negotiated['remoteSetup'] {
  // RFC 4145, section 4: an offer without the attribute is active.
  if (!line) return 'active';
  if (line.value === 'active' || line.value === 'passive' || line.value === 'actpass') return line.value;
  throw new SdpError('invalid-setup', 'expected actpass, active or passive', line);
}
