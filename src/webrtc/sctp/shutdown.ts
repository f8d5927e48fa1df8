import { writeUint32 } from '../../wire/integers.ts';
import type { Outbox } from './outbox.ts';
import { ChunkType, encodeChunk, FLAG_TAG_REFLECTED, type PacketReader } from './packet.ts';
import { ASSOCIATION_MAX_RETRANSMISSIONS } from './protocol-parameters.ts';
import { Timer } from './timer.ts';

/**
 * The chunks and the timer of the graceful end (RFC 9260, section 9.2); the states are the association's.
 *
 *   A: SHUTDOWN-SENT ── SHUTDOWN ──────────► B: SHUTDOWN-RECEIVED, sends what it still has
 *                    ◄─ SHUTDOWN ACK ─────── B: SHUTDOWN-ACK-SENT
 *   A: CLOSED        ── SHUTDOWN COMPLETE ─► B: CLOSED
 */
export class Shutdown {
  /** T2-shutdown. */
  readonly timer = new Timer();
  readonly #outbox: Outbox;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  sendShutdown(cumulativeTsn: number, rto: number, now: number): void {
    const value = new Uint8Array(4);
    writeUint32(value, 0, cumulativeTsn);
    this.#outbox.bundle(encodeChunk(ChunkType.shutdown, 0, value));
    this.timer.start(now + rto);
  }

  sendAck(rto: number, now: number): void {
    this.#outbox.bundle(encodeChunk(ChunkType.shutdownAck, 0));
    this.timer.start(now + rto);
  }

  sendComplete(peerTag: number): void {
    this.#outbox.sendAlone(peerTag, encodeChunk(ChunkType.shutdownComplete, 0));
  }

  /** T2 has run out for the last time. */
  get hasFailed(): boolean {
    return this.timer.expiries > ASSOCIATION_MAX_RETRANSMISSIONS;
  }
}

/**
 * Answers a packet for an association that is no more, by its first chunk (section 8.4): the peer may have missed how
 * it ended. INIT is no error of its sender, and an answer to the others could be answered for ever.
 */
export function answerOutOfTheBlue(packet: PacketReader, outbox: Outbox): void {
  if (!packet.next()) return;
  switch (packet.type) {
    case ChunkType.init:
    case ChunkType.abort:
    case ChunkType.shutdownComplete:
    case ChunkType.cookieAck:
    case ChunkType.error:
      return;
    case ChunkType.shutdownAck:
      return outbox.sendAlone(packet.tag, encodeChunk(ChunkType.shutdownComplete, FLAG_TAG_REFLECTED));
    default:
      return outbox.sendAlone(packet.tag, encodeChunk(ChunkType.abort, FLAG_TAG_REFLECTED));
  }
}
