import type { Negotiated, SdpCandidate } from './description.ts';
import { SdpError } from './error.ts';
import { findAttribute, readSections, tokenValue, type SdpSection } from './lines.ts';
import { hasIce, readCandidates, readIce } from './transport.ts';
import { candidateLines, iceLines, joinLines, midLines } from './writing.ts';

/** An `application/trickle-ice-sdpfrag` (RFC 8840, section 9), as WHIP clients send it with PATCH (RFC 9725, section 4.3). */
export interface IceFragment {
  /** Those of the session, or of the first section that has them; null when the fragment names none. */
  readonly ice: Negotiated['ice'] | null;
  readonly candidates: readonly Required<SdpCandidate>[];
  readonly endOfCandidates: boolean;
  /** Of the sections, in order. */
  readonly mids: readonly string[];
  readonly sections: readonly SdpSection[];
}

/** What a fragment says of this side. */
export interface FragmentDescription {
  readonly ufrag: string;
  readonly password: string;
  /** All of them: the fragment ends the list. */
  readonly candidates: readonly SdpCandidate[];
  readonly bundleMids: readonly string[];
  /** The section that carries the transport. */
  readonly media: 'audio' | 'application';
  readonly mid: string | null;
  readonly iceLite: boolean;
}

/**
 * Reads a fragment: trickled candidates, or new credentials, which mean an ICE restart.
 * @throws {SdpError}
 */
export function parseFragment(text: string): IceFragment {
  const { session, media } = readSections(text);
  if (session.lines.length === 0 && media.length === 0) throw new SdpError('not-sdp', 'empty; expected an SDP fragment');
  const parts = [session, ...media];
  const owner = parts.find(hasIce);
  // Half a pair of credentials is an error, not an absence.
  const half = parts.find((part) => findAttribute(part, 'ice-ufrag') ?? findAttribute(part, 'ice-pwd'));
  return {
    ice: owner || half ? readIce(owner ?? half!, session) : null,
    candidates: parts.flatMap(readCandidates),
    sections: media,
    endOfCandidates: parts.some((part) => findAttribute(part, 'end-of-candidates')),
    mids: media.flatMap((section) => {
      const mid = findAttribute(section, 'mid');
      return mid ? [tokenValue(mid)] : [];
    }),
  };
}

/** Writes a fragment with credentials and all candidates: the request for an ICE restart, or the answer to one. */
export function createFragment(local: FragmentDescription): string {
  const protocol = local.media === 'audio' ? 'UDP/TLS/RTP/SAVPF 0' : 'UDP/DTLS/SCTP webrtc-datachannel';
  return joinLines([
    ...(local.iceLite ? ['a=ice-lite'] : []),
    ...(local.bundleMids.length > 0 ? [`a=group:BUNDLE ${local.bundleMids.join(' ')}`] : []),
    `m=${local.media} 9 ${protocol}`,
    ...midLines(local.mid),
    ...iceLines(local),
    ...candidateLines(local.candidates),
  ]);
}
