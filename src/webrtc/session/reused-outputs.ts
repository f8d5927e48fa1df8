/**
 * What every packet fills anew: one of each for all sessions of the thread. With hundreds of calls an object of each
 * session's own has left the processor's caches by the time that its next packet comes.
 */
import type { TransportAddress } from '../../wire/address.ts';
import type { RtpFrame } from '../rtp/rtp-session.ts';
import type { SessionOutput } from './session-types.ts';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const EMPTY = new Uint8Array(0);
const NOWHERE: TransportAddress = { family: 4, ip: new Uint8Array(4), port: 0 };

export const audioOutput: Writable<Extract<SessionOutput, { type: 'audio' }>> = { type: 'audio', payload: EMPTY, sequence: 0, timestamp: 0, marker: false };
export const timeoutOutput = { type: 'timeout' as const, at: Infinity };
export const frameToSend: Writable<RtpFrame> = { payload: EMPTY, payloadType: 0, timestamp: 0, marker: false };

const transmitOutput: Writable<Extract<SessionOutput, { type: 'transmit' }>> = { type: 'transmit', data: EMPTY, to: NOWHERE };

export function transmit(data: Uint8Array, to: TransportAddress): SessionOutput {
  transmitOutput.data = data;
  transmitOutput.to = to;
  return transmitOutput;
}
