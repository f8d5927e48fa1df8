import type { DtlsCertificate } from '../dtls/certificate.ts';
import type { RandomSource } from '../machine.ts';
import type { SrtpCiphers } from '../srtp/ciphers.ts';
import type { TransportAddress } from '../../wire/address.ts';
import { Answerer } from './answerer.ts';
import { Offerer } from './offerer.ts';
import type { Session } from './session.ts';

export interface WarmUpOptions {
  readonly certificate: DtlsCertificate;
  readonly ciphers: SrtpCiphers;
  readonly random: RandomSource;
}

const CALLER: TransportAddress = { family: 4, ip: Uint8Array.of(127, 0, 0, 1), port: 1 };
const SERVER: TransportAddress = { family: 4, ip: Uint8Array.of(127, 0, 0, 1), port: 2 };
/** Milliseconds of virtual time: the second check is the last that is waited for. */
const STEP = 50;
const STEPS = 4;

/**
 * Lets two sessions of this process call each other, with all that browsers bring along, over nothing. Some 20 ms the
 * first time and less with each: a server that has done it a few times before its first caller comes lets that caller
 * wait 2 ms for the flight instead of 10.
 */
export function warmUpCall({ certificate, ciphers, random }: WarmUpOptions): void {
  const common = { certificate, ciphers, random, ntpEpochOffset: 0 };
  const dtls = { groups: ['x25519mlkem768', 'x25519'] } as const;
  const offerer = new Offerer({ ...common, audio: true, data: true, dtlsInStun: true, dtls });
  const answerer = new Answerer({ ...common, offer: offerer.offer, ufrag: 'warm', candidates: [SERVER], now: 0 });
  const caller = offerer.accept(answerer.answer, 0);
  const server = answerer.session;
  for (let now = 0; now < STEPS * STEP; now += STEP) {
    caller.handleTimeout(now);
    // Each may have something to say to what the other has said.
    while (carry(caller, server, CALLER, now) + carry(server, caller, SERVER, now) > 0);
  }
  for (const session of [caller, server]) session.dispose();
}

/** Hands what one session sends to the other; gives the number of datagrams. */
function carry(from: Session, to: Session, address: TransportAddress, now: number): number {
  const datagrams: Uint8Array[] = [];
  for (let output = from.poll(); output.type !== 'timeout'; output = from.poll()) {
    if (output.type === 'transmit') datagrams.push(output.data.slice());
    else if (output.type === 'ready-to-send') from.sendAudio(Uint8Array.of(0xf8, 0xff, 0xfe), 0, true, now);
  }
  for (const data of datagrams) to.handleDatagram(data, address, now);
  return datagrams.length;
}
