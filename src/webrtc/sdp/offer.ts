import type { Negotiated } from './description.ts';
import { SdpError } from './error.ts';
import { readSections } from './lines.ts';
import type { MediaSection } from './media.ts';
import { negotiate, toNegotiated } from './negotiate.ts';

/** An offer that can be answered, with what the answer will say. */
export interface Offer {
  /** Every section of the offer, in order: the answer has to have the same. */
  readonly sections: readonly OfferedSection[];
  readonly negotiated: Negotiated;
}

export interface OfferedSection {
  readonly use: 'audio' | 'data' | 'rejected';
  readonly media: string;
  readonly protocol: string;
  /** As in the m= line, parted by spaces. */
  readonly formats: string;
  readonly mid: string | null;
}

export interface OfferOptions {
  /** Take RED (RFC 2198) for Opus where it is offered. Not unless set. */
  readonly red?: boolean;
}

/**
 * Reads an offer (RFC 8866, RFC 8829 section 5.7) and decides what of it is used: one audio section with Opus, one data
 * channel section, everything else rejected.
 * @throws {SdpError} for an offer that cannot be served
 */
export function parseOffer(text: string, options: OfferOptions = {}): Offer {
  const negotiable = negotiate(readSections(text), 'offer', options.red ?? false);
  if (negotiable.iceLite) {
    const message = 'this side is ICE-lite as well, and two lite agents cannot connect; offer with full ICE';
    throw new SdpError('ice-lite-peer', message, negotiable.iceLite);
  }
  const localSetup = negotiable.transport.setup === 'passive' ? 'active' : 'passive';
  const use = (section: MediaSection): OfferedSection['use'] =>
    section === negotiable.audio?.section ? 'audio' : section === negotiable.data?.section ? 'data' : 'rejected';
  return {
    sections: negotiable.sections.map((section) => ({
      use: use(section),
      media: section.type,
      protocol: section.protocol,
      formats: section.formats.join(' '),
      mid: section.mid,
    })),
    negotiated: toNegotiated(negotiable, localSetup),
  };
}
