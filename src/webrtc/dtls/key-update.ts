/**
 * KeyUpdate after the handshake (RFC 8446, section 4.6.3; RFC 9147, section 8):
 *
 *   Peer                                          This side
 *   KeyUpdate(update_requested)  ────────►        reads the next epoch from now on
 *                                ◄────────        ACK
 *                                ◄────────        KeyUpdate(update_not_requested), repeated until
 *   ACK                          ────────►        writes the next epoch from now on
 *
 * Deviation: an update is never begun here. AES-GCM asks for one after some 2^24 full records, which a call does not
 * send in its life.
 */
import { HandshakeFault } from './fault.ts';
import type { Sender, Secrets13, TrafficSecrets } from './handshake-13.ts';
import { epoch13 } from './handshake-13.ts';
import type { HandshakeHost } from './handshake.ts';
import { nextTrafficSecret } from './key-schedule-13.ts';
import { handshakeType } from './registry.ts';

const updateRequest = { notRequested: 0, requested: 1 } as const;

export class KeyUpdates {
  readonly #host: HandshakeHost;
  readonly #secrets: Secrets13;
  #readSecret: Uint8Array;
  #writeSecret: Uint8Array;
  #readEpoch: number = epoch13.application;
  #writeEpoch: number = epoch13.application;
  /** What of ours is under way: one flight at a time may be unacknowledged. */
  #underWay: 'handshake' | 'update' | null;
  #owed = false;

  /** `secrets.handshake` is over and `application` in use. A client's last flight is still unacknowledged. */
  constructor(host: HandshakeHost, secrets: Secrets13, application: TrafficSecrets, role: Sender) {
    this.#host = host;
    this.#secrets = secrets;
    this.#readSecret = application[role === 'client' ? 'server' : 'client'];
    this.#writeSecret = application[role];
    this.#underWay = role === 'client' ? 'handshake' : null;
  }

  /** @throws {HandshakeFault} */
  handle(body: Uint8Array): void {
    if (body.length !== 1) throw new HandshakeFault('malformed-message');
    const [request] = body;
    if (request !== updateRequest.requested && request !== updateRequest.notRequested) throw new HandshakeFault('illegal-parameter');
    this.#readSecret = nextTrafficSecret(this.#secrets.suite.hash, this.#readSecret);
    this.#host.addUnifiedReadEpoch(++this.#readEpoch, this.#secrets.protection(this.#readSecret));
    if (request === updateRequest.notRequested) return;
    if (this.#underWay) this.#owed = true;
    else this.#sendUpdate();
  }

  /** The peer has all of our last flight. */
  flightAcknowledged(): void {
    if (this.#underWay === 'update') {
      this.#writeSecret = nextTrafficSecret(this.#secrets.suite.hash, this.#writeSecret);
      this.#host.addWriteEpoch(++this.#writeEpoch, this.#secrets.protection(this.#writeSecret));
    }
    this.#underWay = null;
    if (this.#owed) this.#sendUpdate();
  }

  #sendUpdate(): void {
    this.#owed = false;
    this.#underWay = 'update';
    const message = this.#host.compose(handshakeType.keyUpdate, Uint8Array.of(updateRequest.notRequested));
    this.#host.sendFlight([{ type: 'message', epoch: this.#writeEpoch, message }], true);
  }
}
