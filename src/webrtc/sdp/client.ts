import type { LocalAudio, LocalData, LocalTransport, MediaDirection, Negotiated, SdpCandidate } from './description.ts';
import { SdpError } from './error.ts';
import { readSections } from './lines.ts';
import { negotiate, toNegotiated } from './negotiate.ts';
import { readCandidates } from './transport.ts';
import {
  audioFormats,
  audioLines,
  candidateLines,
  dataFormats,
  dataLines,
  joinLines,
  mediaLines,
  sessionLines,
  transportLines,
} from './writing.ts';

/** What our own client offers: audio, a data channel, or both. Candidates may be left out when the server is lite. */
export interface OfferDescription extends LocalTransport {
  readonly audio: (LocalAudio & { readonly direction: MediaDirection; readonly red?: boolean }) | null;
  readonly data: LocalData | null;
}

/** An answer to {@link createOffer}: what was agreed, and where the other side is. */
export interface Answer {
  readonly negotiated: Negotiated;
  readonly iceLite: boolean;
  /** UDP, the highest priority first. */
  readonly candidates: readonly Required<SdpCandidate>[];
}

const RED_PAYLOAD_TYPE = 63;
const AUDIO_MID = '0';
const DATA_MID = '1';
const OPUS = {
  payloadType: 111,
  clockRate: 48_000,
  channels: 2,
  extensions: { mid: 1, audioLevel: 2, transportCc: 3 },
  extmapAllowMixed: false,
  feedback: { nack: true, transportCc: true },
  reducedSizeRtcp: true,
} as const;

/** Writes the offer of a client that may take either DTLS role. */
export function createOffer(local: OfferDescription): string {
  const { audio, data, candidates } = local;
  const lines = sessionLines(local, [...(audio ? [AUDIO_MID] : []), ...(data ? [DATA_MID] : [])], false);
  if (audio) {
    const codecs = { ...OPUS, redPayloadType: audio.red === true ? RED_PAYLOAD_TYPE : null };
    lines.push(
      ...mediaLines('audio', 'UDP/TLS/RTP/SAVPF', audioFormats(codecs), candidates),
      ...candidateLines(candidates),
      ...transportLines(local, 'actpass', AUDIO_MID),
      ...audioLines({ ...codecs, direction: audio.direction }, audio.direction, audio),
    );
  }
  if (data) {
    lines.push(
      ...mediaLines('application', 'UDP/DTLS/SCTP', dataFormats('modern'), candidates),
      ...(audio ? [] : candidateLines(candidates)),
      ...transportLines(local, 'actpass', DATA_MID),
      ...dataLines('modern', data.init),
    );
  }
  return joinLines(lines);
}

/**
 * Reads the answer to {@link createOffer}. `red`: whether RED was offered.
 * @throws {SdpError} for one that leaves nothing in common
 */
export function parseAnswer(text: string, { red = false }: { readonly red?: boolean } = {}): Answer {
  const negotiable = negotiate(readSections(text), 'answer', red);
  const { setup, setupLine } = negotiable.transport;
  if (setup === 'actpass') throw new SdpError('invalid-setup', 'an answer has to choose active or passive', setupLine);
  return {
    negotiated: toNegotiated(negotiable, setup === 'active' ? 'passive' : 'active'),
    iceLite: negotiable.iceLite !== null,
    candidates: readCandidates(negotiable.owner).sort((a, b) => b.priority - a.priority),
  };
}
