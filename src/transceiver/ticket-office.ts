import { createHash, randomFillSync } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { sessionConfigSchema, type SessionConfig } from '../conversation/session-schema.ts';
import { CallError, type CallRequest } from '../signaling/call-service.ts';
import { answerAhead, decodeTerms, drawLocal, DtlsCertificate, encodeTerms, type LocalDraws, type SessionTerms } from '../webrtc/index.ts';
import type { TransportAddress } from '../wire/address.ts';
import { CallTickets, MAX_TICKET_BODY } from '../wire/call-ticket.ts';
import { deriveKey } from '../wire/derive-key.ts';
import { RoutingKeys } from '../wire/routing-token.ts';
import { asCallError, requireDataChannels } from './answer.ts';

/**
 * What is inside a ticket (docs/instant-connect.md):
 *
 *   expiry u32, Unix seconds | flags u8: 1 = an events channel, 2 = a named session configuration
 *   [id of the events channel u16] | named: 16 bytes, else length u8 and deflated JSON | the terms of offer and answer
 */
const FLAG_CHANNEL = 1;
const FLAG_NAMED = 2;
const KNOWN_FLAGS = FLAG_CHANNEL | FLAG_NAMED;
const NAME_BYTES = 16;
/** Of JSON that was deflated to less than a ticket holds: our own, this bounds a mistake. */
const MAX_JSON = 64 * 1024;
/**
 * Words of a session configuration, the likeliest last (RFC 1950, section 2.3): what they save is room in each packet that
 * brings the ticket. Other words would be another format.
 */
const DICTIONARY = Buffer.from(
  '{"include":null,"tools":[],"max_output_tokens":"inf","instructions":"","output_modalities":["audio"],"audio":{"input":' +
    '{"turn_detection":{"type":"server_vad","threshold":0.5,"silence_duration_ms":500},"transcription":{"model":"whisper-1",' +
    '"language":"en"}},"output":{"speed":1,"voice":"alloy"}},"model":"gpt-realtime"}{"model":"parrot"}{"model":"echo"}',
);

export interface TicketOfficeOptions {
  readonly secret: string;
  readonly previousSecret: string | null;
  readonly cluster: number;
  /** Public addresses of the relays, best first. */
  readonly ingress: readonly TransportAddress[];
}

/** A call that somebody may begin. */
export interface Ticket {
  readonly ufrag: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly eventsChannelId: number | null;
  /** The configuration, or the name that it was kept under. */
  readonly session: SessionConfig | string;
  readonly terms: SessionTerms;
  readonly draws: LocalDraws;
  /** The one that the answer named. */
  readonly certificate: DtlsCertificate;
}

export interface IssuedTicket {
  /** SDP answer. */
  readonly answer: string;
  /** A session configuration that has to be kept under its name for the ticket to be of use; null when it holds it. */
  readonly named: NamedSession | null;
}

export interface NamedSession {
  readonly name: string;
  readonly json: string;
}

/** Issues tickets and opens them: all of it follows from the deployment's secret, and nothing is remembered. */
export class TicketOffice {
  readonly #options: TicketOfficeOptions;
  readonly #routing: RoutingKeys;
  readonly #tickets: CallTickets;
  /** By secret, the current one first: every transceiver has the same. */
  readonly #certificates: readonly DtlsCertificate[];

  constructor(options: TicketOfficeOptions) {
    const previous = options.previousSecret ?? undefined;
    this.#options = options;
    this.#routing = new RoutingKeys(options.secret, previous);
    this.#tickets = new CallTickets(options.secret, previous);
    this.#certificates = [options.secret, previous]
      .filter((secret) => secret !== undefined)
      .map((secret) => DtlsCertificate.derive(deriveKey(secret, 'earshot certificate v1', 48)));
  }

  /**
   * Answers an offer with a ticket. Times are Unix seconds.
   * @throws {CallError} 400 for an offer that cannot be served, or that no ticket holds.
   */
  issue({ offer, session, ingress = this.#options.ingress, eventsChannelId }: CallRequest, now: number, expiresAt: number): IssuedTicket {
    const channel = eventsChannelId ?? null;
    const json = writeSession(session);
    let named: NamedSession | null = null;
    const ticket = (terms: SessionTerms): ReturnType<CallTickets['seal']> => {
      if (channel !== null) requireDataChannels(terms);
      const agreed = fitting(() => encodeTerms(terms));
      let body = encodeBody(expiresAt, channel, { json }, agreed);
      if (body.length > MAX_TICKET_BODY) {
        named = { name: nameOf(json), json };
        body = encodeBody(expiresAt, channel, named, agreed);
      }
      const token = this.#routing.encodeTicketToken({ cluster: this.#options.cluster, issuedAt: now }, randomFillSync);
      return fitting(() => this.#tickets.seal(token, body, randomFillSync));
    };
    const answer = asCallError(() => answerAhead({ offer, certificate: this.#certificates[0], candidates: ingress, ticket }));
    return { answer, named };
  }

  /** Issues a ticket to nobody and opens it: what that runs through is compiled before the first caller waits for it. */
  rehearse(offer: string): void {
    const { answer } = this.issue({ offer, session: { type: 'realtime' } }, 0, 0);
    this.open(/^a=ice-ufrag:(\S+)/m.exec(answer)![1]);
  }

  /** Null for what is no ticket of this deployment and version; an expired one is opened. Never throws. */
  open(ufrag: string): Ticket | null {
    const opened = this.#tickets.open(ufrag);
    if (opened === null) return null;
    try {
      const { terms, ...rest } = decodeBody(Buffer.from(opened.body));
      return { ufrag, ...rest, terms, draws: drawLocal(opened.draw, terms), certificate: this.#certificates[opened.secret] };
    } catch {
      return null; // A transceiver of another version has sealed it.
    }
  }
}

/** Without its type, which is always the same. */
function writeSession({ type: _type, ...session }: SessionConfig): string {
  return JSON.stringify(session);
}

function readSession(json: string): SessionConfig {
  return sessionConfigSchema.parse(JSON.parse(json));
}

/** The configuration that was kept under this name; null for another one, whoever has put it there. */
export function readNamedSession({ name, json }: NamedSession): SessionConfig | null {
  return nameOf(json) === name ? readSession(json) : null;
}

function nameOf(json: string): string {
  return createHash('sha256').update(json).digest('hex').slice(0, 2 * NAME_BYTES);
}

/** What does not fit was the caller's to choose. */
function fitting<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const message = `This call cannot be answered ahead: ${error.message}. Ask for an ordinary answer, without "instant".`;
    throw new CallError(400, 'instant_not_possible', message, { param: 'instant', cause: error });
  }
}

function encodeBody(expiresAt: number, channel: number | null, session: { json: string; name?: string }, terms: Uint8Array): Uint8Array {
  const head = Buffer.alloc(channel === null ? 5 : 7);
  head.writeUInt32BE(expiresAt);
  head[4] = (channel === null ? 0 : FLAG_CHANNEL) | (session.name === undefined ? 0 : FLAG_NAMED);
  if (channel !== null) head.writeUInt16BE(channel, 5);
  if (session.name !== undefined) return Buffer.concat([head, Buffer.from(session.name, 'hex'), terms]);
  const inline = deflateRawSync(session.json, { dictionary: DICTIONARY });
  return Buffer.concat([head, Uint8Array.of(inline.length), inline, terms]);
}

/** @throws for what no {@link encodeBody} of this version wrote. */
function decodeBody(body: Buffer): Pick<Ticket, 'expiresAt' | 'eventsChannelId' | 'session' | 'terms'> {
  const flags = body[4];
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new RangeError('flags of another version');
  const eventsChannelId = flags & FLAG_CHANNEL ? body.readUInt16BE(5) : null;
  const at = eventsChannelId === null ? 5 : 7;
  const end = at + (flags & FLAG_NAMED ? NAME_BYTES : 1 + body[at]);
  const session = flags & FLAG_NAMED
    ? body.toString('hex', at, end)
    : readSession(inflateRawSync(body.subarray(at + 1, end), { dictionary: DICTIONARY, maxOutputLength: MAX_JSON }).toString());
  return { expiresAt: body.readUInt32BE(), eventsChannelId, session, terms: decodeTerms(body.subarray(end)) };
}
