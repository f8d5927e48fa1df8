import type { RandomSource } from '../machine.ts';
import { encodeInit, encodeInitAck, type InitParameters, newInit, readInit } from './init.ts';
import type { Outbox } from './outbox.ts';
import { CHUNK_HEADER_BYTES, ChunkType, encodeChunk, type PacketReader } from './packet.ts';
import { CauseCode, encodeCauseU32, encodeParameter, joinParameters } from './parameters.ts';
import { COOKIE_ACK_REPETITIONS, COOKIE_LIFE, MAX_INIT_RETRANSMISSIONS } from './protocol-parameters.ts';
import type { RetransmissionTimeout } from './rto.ts';
import { openCookie, sealCookie, type StateCookie } from './state-cookie.ts';
import { Timer } from './timer.ts';

/**
 * The four-way handshake (RFC 9260, section 5), both of its sides: each may begin, and both at once.
 *
 *   A: COOKIE-WAIT   ── INIT ─────────────────────────► B keeps nothing
 *                    ◄─ INIT ACK, cookie ──────────────
 *   A: COOKIE-ECHOED ── COOKIE ECHO, with data ───────► B: ESTABLISHED
 *   A: ESTABLISHED   ◄─ COOKIE ACK, with data ─────────
 *
 * It writes the chunks and judges cookies; the states are the association's.
 */

/** The verification tags of an association that exists already; the peer's is null before its INIT is known. */
export interface Tags {
  readonly local: number;
  readonly peer: number | null;
}

export type CookieVerdict =
  /** Not our cookie, or one of an association long gone (section 5.2.4, action C). */
  | { readonly type: 'invalid' }
  /** Too old; the peer has been told. */
  | { readonly type: 'stale' }
  /** The peer has lost its state and begins anew (action A). */
  | { readonly type: 'restart'; readonly cookie: StateCookie }
  /** The association is established. `isNewPeer`: with this peer, not with the one known so far (B, or the first). */
  | { readonly type: 'established'; readonly cookie: StateCookie; readonly isNewPeer: boolean };

export class Handshake {
  /** T1-init and T1-cookie. */
  readonly timer = new Timer();
  readonly #key = new Uint8Array(32);
  readonly #random: RandomSource;
  readonly #receiveWindow: number;
  readonly #outbox: Outbox;
  #local: InitParameters;
  #initSentAt = 0;
  #cookieEcho: Uint8Array | null = null;
  #isCookieEchoDue = false;

  /** `local`: what we have said of ourselves already, by other means; null to make it up. */
  constructor(random: RandomSource, receiveWindow: number, outbox: Outbox, local: InitParameters | null) {
    this.#random = random;
    this.#receiveWindow = receiveWindow;
    this.#outbox = outbox;
    random(this.#key);
    this.#local = local ?? newInit(random, receiveWindow);
  }

  /** What we say of ourselves. */
  get local(): InitParameters {
    return this.#local;
  }

  sendInit(rto: number, now: number): void {
    this.#initSentAt = now;
    this.#outbox.sendAlone(0, encodeInit(this.#local));
    this.timer.start(now + rto);
  }

  /**
   * Answers an INIT. While both sides set up, `alive` is null and tag and TSN stay the same, so that crossing INITs
   * lead to one association (section 5.2.1); an association that is alive answers as if it were a new one (5.2.2), and
   * the cookie remembers its tags. False when the INIT was malformed.
   */
  answerInit(packet: PacketReader, alive: Tags | null, now: number): boolean {
    const read = readInit(packet.bytes, packet.start, packet.end);
    if (read === null) return false;
    const answer = alive === null ? this.#local : newInit(this.#random, this.#receiveWindow);
    const cookie: StateCookie = {
      localTag: answer.tag,
      localTsn: answer.initialTsn,
      peer: read.init,
      tieLocalTag: alive?.local ?? 0,
      tiePeerTag: alive?.peer ?? 0,
      madeAt: now,
    };
    this.#outbox.sendAlone(read.init.tag, encodeInitAck(answer, sealCookie(cookie, this.#key), read.unrecognized));
    return true;
  }

  /** Takes an INIT ACK and makes its cookie due: who the peer is, or null when the chunk was malformed. */
  handleInitAck(packet: PacketReader, rto: RetransmissionTimeout, now: number): InitParameters | null {
    const read = readInit(packet.bytes, packet.start, packet.end);
    const cookie = read?.cookie ?? null;
    if (read === null || cookie === null || cookie.length > this.#outbox.capacity - CHUNK_HEADER_BYTES) return null;
    if (this.timer.expiries === 0) rto.sample(now - this.#initSentAt);
    else rto.endBackOff();
    this.timer.stop();
    this.#cookieEcho = encodeChunk(ChunkType.cookieEcho, 0, cookie);
    this.makeCookieEchoDue(rto.promptValue, now);
    if (read.unrecognized.length > 0) {
      const cause = encodeParameter(CauseCode.unrecognizedParameters, joinParameters(read.unrecognized));
      this.#outbox.bundle(encodeChunk(ChunkType.error, 0, cause));
    }
    return read.init;
  }

  makeCookieEchoDue(rto: number, now: number): void {
    this.#isCookieEchoDue = true;
    this.timer.start(now + rto);
  }

  /** The COOKIE ECHO to send now, or null. */
  takeCookieEcho(): Uint8Array | null {
    if (!this.#isCookieEchoDue) return null;
    this.#isCookieEchoDue = false;
    return this.#cookieEcho;
  }

  /** Acknowledges the peer's cookie; again when T1 runs out, unless the peer has shown that it knows. */
  acknowledgeCookie(rto: RetransmissionTimeout, now: number): void {
    this.#outbox.bundle(encodeChunk(ChunkType.cookieAck, 0));
    if (this.timer.expiries < COOKIE_ACK_REPETITIONS) this.timer.start(now + rto.promptValue * 2 ** this.timer.expiries);
  }

  /** T1 has run out for the last time. */
  get hasFailed(): boolean {
    return this.timer.expiries > MAX_INIT_RETRANSMISSIONS;
  }

  /** The association is established, or over. */
  finish(): void {
    this.timer.stop();
    this.#cookieEcho = null;
    this.#isCookieEchoDue = false;
  }

  /** The association lives on under the tag and TSN that a restart cookie was made with. */
  adopt(cookie: StateCookie): void {
    this.#local = { ...this.#local, tag: cookie.localTag, initialTsn: cookie.localTsn };
  }

  /** Judges a COOKIE ECHO (sections 5.1.5 and 5.2.4); `peer` is the tag of the peer known so far. */
  judge(packet: PacketReader, peer: number | null, now: number): CookieVerdict {
    const cookie = openCookie(packet.bytes.subarray(packet.start, packet.end), this.#key);
    if (cookie === null || cookie.localTag !== packet.tag) return { type: 'invalid' };
    const isLocal = cookie.localTag === this.#local.tag;
    const isPeer = cookie.peer.tag === peer;
    if (isLocal && isPeer) return { type: 'established', cookie, isNewPeer: false };
    const overdue = now - cookie.madeAt - COOKIE_LIFE;
    if (overdue > 0) {
      // The measure of staleness is in microseconds (section 3.3.10.3).
      const cause = encodeCauseU32(CauseCode.staleCookie, overdue * 1000);
      this.#outbox.sendAlone(cookie.peer.tag, encodeChunk(ChunkType.error, 0, cause));
      return { type: 'stale' };
    }
    if (isLocal) return { type: 'established', cookie, isNewPeer: true };
    const isTied = cookie.tieLocalTag === this.#local.tag && cookie.tiePeerTag === peer;
    return isTied && !isPeer ? { type: 'restart', cookie } : { type: 'invalid' };
  }
}

/** Chunks that a peer sends under our tag only once it has taken our cookie. */
export function isProofOfLife(type: number): boolean {
  return type === ChunkType.cookieAck || type === ChunkType.data || type === ChunkType.sack;
}
