import type { Negotiated, NegotiatedAudio, NegotiatedData } from './description.ts';
import { SdpError } from './error.ts';
import { findAttribute, findAttributes, type SdpLine, type SdpSections } from './lines.ts';
import { isSecureAudio, readAudio, readData, readMediaSection, type MediaSection } from './media.ts';
import { hasIce, readTransport, type RemoteTransport } from './transport.ts';

/** What a description, offer or answer, asks of us: at most one audio and one data section over one transport. */
export interface Negotiable {
  readonly sections: readonly MediaSection[];
  readonly audio: { readonly section: MediaSection; readonly media: NegotiatedAudio } | null;
  readonly data: { readonly section: MediaSection; readonly media: NegotiatedData } | null;
  readonly bundleMids: readonly string[];
  /** The section whose transport attributes count: of those in use, the first of the BUNDLE group. */
  readonly owner: MediaSection;
  readonly transport: RemoteTransport;
  readonly iceLite: SdpLine | null;
}

/**
 * Picks what we serve out of a description: the first audio section with Opus and the first data channel section, both
 * in one BUNDLE group (RFC 9143) when there are two, with RTCP on the same port.
 * @param kind for messages
 * @throws {SdpError}
 */
export function negotiate({ session, media }: SdpSections, kind: 'offer' | 'answer', wantRed: boolean): Negotiable {
  requireSdp(session.lines[0] ?? media[0]?.media, kind);
  const sections = media.map(readMediaSection);
  requireDistinctMids(sections);
  const usable = sections.filter((section) => !section.disabled);
  const audio = firstOf(usable, (section) => (isSecureAudio(section) ? readAudio(section, session, wantRed) : null));
  const data = firstOf(usable, readData);
  const first = audio ?? data;
  if (!first) throw nothingUsable(sections, kind);
  if (audio && !findAttribute(audio.section, 'rtcp-mux')) {
    const message = 'a=rtcp-mux is missing in this section; RTP and RTCP have to share one port';
    throw new SdpError('rtcp-mux-required', message, audio.section.media);
  }

  const groups = findAttributes(session, 'group')
    .map((line) => line.value.split(/\s+/))
    .filter((words) => words[0] === 'BUNDLE')
    .map((words) => words.slice(1));
  const group = groups.find((mids) => first.section.mid !== null && mids.includes(first.section.mid)) ?? [];
  if (audio && data && !(data.section.mid !== null && group.includes(data.section.mid))) {
    const message = 'audio and data channels have to share one transport; list both mids in one a=group:BUNDLE line';
    throw new SdpError('bundle-required', message, data.section.media);
  }

  const inUse = new Map([audio, data].flatMap((part) => (part?.section.mid ? [[part.section.mid, part.section]] : [])));
  const bundleMids = [...new Set(group)].filter((mid) => inUse.has(mid));
  const tagged = inUse.get(bundleMids[0]) ?? first.section;
  const owner = hasIce(tagged) || hasIce(session) ? tagged : bundledWithIce(sections, group) ?? tagged;
  return {
    sections,
    audio,
    data,
    bundleMids,
    owner,
    transport: readTransport(owner, session),
    iceLite: findAttribute(session, 'ice-lite'),
  };
}

/** The result in the form that sessions are built from. */
export function toNegotiated({ audio, data, bundleMids, transport }: Negotiable, localSetup: 'active' | 'passive'): Negotiated {
  return {
    bundleMids,
    ice: transport.ice,
    fingerprints: transport.fingerprints,
    remoteSetup: transport.setup,
    localSetup,
    audio: audio && audio.media,
    data: data && data.media,
  };
}

function requireSdp(line: SdpLine | undefined, kind: string): void {
  if (!line) throw new SdpError('not-sdp', `empty; expected an SDP ${kind}`);
  if (line.type !== 'v' || line.value !== '0') throw new SdpError('not-sdp', `an SDP ${kind} begins with v=0`, line);
}

function requireDistinctMids(sections: readonly MediaSection[]): void {
  const seen = new Set<string>();
  for (const { mid, media } of sections) {
    if (mid === null) continue;
    if (seen.has(mid)) throw new SdpError('malformed-line', `another section has mid ${mid} as well`, media);
    seen.add(mid);
  }
}

function firstOf<T>(sections: readonly MediaSection[], read: (section: MediaSection) => T | null): { section: MediaSection; media: T } | null {
  for (const section of sections) {
    const media = read(section);
    if (media !== null) return { section, media };
  }
  return null;
}

/** A bundle-only section has no transport attributes of its own: those of the group's first section that has, even if
 *  that section is not in use here, describe the shared transport. */
function bundledWithIce(sections: readonly MediaSection[], group: readonly string[]): MediaSection | undefined {
  const bundled = group.flatMap((mid) => sections.find((section) => section.mid === mid) ?? []);
  return bundled.find(hasIce);
}

/** Names the section that comes closest. */
function nothingUsable(sections: readonly MediaSection[], kind: string): SdpError {
  if (sections.length === 0) return new SdpError('no-usable-media', `the ${kind} has no m= line`);
  const enabled = sections.filter((section) => !section.disabled);
  const audio = enabled.find((section) => section.type === 'audio');
  if (audio && isSecureAudio(audio)) return new SdpError('no-usable-media', 'no Opus among the codecs; add opus/48000/2', audio.media);
  const section = audio ?? enabled.find(({ type }) => type === 'application') ?? enabled[0];
  if (!section) return new SdpError('no-usable-media', 'every section has port 0, which turns it off', sections[0].media);
  if (audio) {
    const message = `protocol ${section.protocol.slice(0, 32)} is not supported; use UDP/TLS/RTP/SAVPF`;
    return new SdpError('no-usable-media', message, section.media);
  }
  if (section.type === 'application') {
    return new SdpError('no-usable-media', 'not a data channel; use UDP/DTLS/SCTP webrtc-datachannel', section.media);
  }
  return new SdpError('no-usable-media', `only audio with Opus and data channels are served`, section.media);
}
