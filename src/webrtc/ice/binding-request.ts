import type { TransportAddress } from '../../wire/address.ts';
import { BINDING, StunAttribute } from '../stun/attributes.ts';
import type { StunMessage } from '../stun/message.ts';
import type { StunWriter } from '../stun/writer.ts';
import type { IceCredentials } from './credentials.ts';
import type { StunCargo } from './stun-cargo.ts';

/** One pair of credentials, from one offer and answer to the next ICE restart. */
export interface IceGeneration {
  readonly local: IceCredentials;
  readonly remote: IceCredentials;
  /** USERNAME of requests to us: `local:remote` (RFC 8445, section 7.2.2). */
  readonly username: string;
}

/** Why a STUN message is not even looked at as a request or a response of this session. */
export type StunFault = 'malformed' | 'bad-fingerprint' | 'unknown-method';
/** Why a request is not of this session: it gets no answer. */
export type AuthenticationFault = 'missing-integrity' | 'unknown-username' | 'bad-integrity';
/** Why a request of this session is answered with an error. */
export type RequestFault = 'unknown-attribute' | 'role-conflict';

/** Why a STUN message changed nothing, whichever agent it came to. The request faults were authentic, so they were answered. */
export type IceDrop = StunFault | AuthenticationFault | RequestFault | 'ended' | 'indication';

export function newDropCounters(): Record<IceDrop, number> {
  return {
    malformed: 0,
    'bad-fingerprint': 0,
    'unknown-method': 0,
    'missing-integrity': 0,
    'unknown-username': 0,
    'bad-integrity': 0,
    ended: 0,
    indication: 0,
    'unknown-attribute': 0,
    'role-conflict': 0,
  };
}

export function iceGeneration(local: IceCredentials, remote: IceCredentials): IceGeneration {
  return { local, remote, username: `${local.ufrag}:${remote.ufrag}` };
}

/** Points `message` at a datagram; a fault means that it is none of ICE's business. */
export function readBinding(message: StunMessage, data: Uint8Array): StunFault | null {
  if (!message.read(data)) return 'malformed';
  if (message.verifyFingerprint() === 'invalid') return 'bad-fingerprint';
  return message.method === BINDING ? null : 'unknown-method';
}

/**
 * Short-term credential check of a request (RFC 8489, section 9.1.3).
 *
 * Deviation: the RFC answers 400 or 401 when this fails. Such an answer goes to an address that nothing vouches for,
 * tells a prober that somebody is here, and no ICE implementation acts on it, so there is none.
 */
export function authenticateRequest(request: StunMessage, generation: IceGeneration): AuthenticationFault | null {
  if (!request.hasIntegrity) return 'missing-integrity';
  if (request.text(StunAttribute.username) !== generation.username) return 'unknown-username';
  return request.verifyIntegrity(generation.local.password) ? null : 'bad-integrity';
}

/**
 * What is wrong with an authenticated request: attributes that we would have to understand, or our own role.
 * @param conflicting the role attribute that the sender must not use
 */
export function requestFault(request: StunMessage, conflicting: number): RequestFault | null {
  if (request.unknownRequired.length > 0) return 'unknown-attribute';
  return request.has(conflicting) ? 'role-conflict' : null;
}

/** Writes the answer to an authenticated request: success with the address it came from, 420 or 487 for a fault. */
export function answerRequest(
  request: StunMessage,
  fault: RequestFault | null,
  from: TransportAddress,
  generation: IceGeneration,
  writer: StunWriter,
  cargo: StunCargo | null,
): Uint8Array {
  writer.begin(fault ? 'error' : 'success', BINDING, request.transactionId);
  if (fault === 'unknown-attribute') {
    writer.errorCode(420);
    writer.unknownAttributes(request.unknownRequired);
  } else if (fault === 'role-conflict') {
    writer.errorCode(487);
  } else {
    writer.xorMappedAddress(from);
    cargo?.load(writer);
  }
  return writer.finish(generation.local.password);
}
