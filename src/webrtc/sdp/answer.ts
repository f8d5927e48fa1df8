import type { LocalAudio, LocalData, LocalTransport } from './description.ts';
import type { Offer, OfferedSection } from './offer.ts';
import {
  audioFormats,
  audioLines,
  candidateLines,
  dataFormats,
  dataLines,
  joinLines,
  mediaLines,
  rejectedLines,
  sessionLines,
  transportLines,
} from './writing.ts';

/** What we put into an answer. */
export type LocalDescription = LocalTransport & LocalAudio & LocalData;

/**
 * Writes the answer of an ICE-lite server: each section of the offer in its place, those not in use with port 0, our
 * candidates once, in the section that carries the shared transport.
 */
export function createAnswer(offer: Offer, local: LocalDescription): string {
  const { bundleMids } = offer.negotiated;
  const inUse = offer.sections.filter((section) => section.use !== 'rejected');
  const tagged = inUse.find((section) => section.mid !== null && section.mid === bundleMids[0]) ?? inUse[0];
  return joinLines([
    ...sessionLines(local, bundleMids, true),
    ...offer.sections.flatMap((section) => sectionLines(section, section === tagged, offer, local)),
  ]);
}

function sectionLines(section: OfferedSection, tagged: boolean, offer: Offer, local: LocalDescription): string[] {
  const { audio, data, localSetup } = offer.negotiated;
  const transport = [
    ...(tagged ? candidateLines(local.candidates) : []),
    ...transportLines(local, localSetup, section.mid),
  ];
  const head = (formats: string): string[] => mediaLines(section.media, section.protocol, formats, local.candidates);
  if (section.use === 'audio' && audio) {
    return [...head(audioFormats(audio)), ...transport, ...audioLines(audio, audio.direction, local)];
  }
  if (section.use === 'data' && data) {
    return [...head(dataFormats(data.form)), ...transport, ...dataLines(data.form, data.init && local.init)];
  }
  return rejectedLines(section.media, section.protocol, section.formats, section.mid);
}
