import { BINDING } from '../stun/attributes.ts';
import { StunMessage } from '../stun/message.ts';
import { StunWriter } from '../stun/writer.ts';
import { authenticateRequest, iceGeneration, readBinding } from './binding-request.ts';
import type { IceCredentials } from './credentials.ts';

/** Whether the datagram is an authentic connectivity check under credentials that no agent has yet (RFC 8445, section 7.3). */
export function isAuthenticCheck(data: Uint8Array, local: IceCredentials, remoteUfrag: string): boolean {
  if (readBinding(message, data) !== null || message.class !== 'request') return false;
  return authenticateRequest(message, iceGeneration(local, { ufrag: remoteUfrag, password: '' })) === null;
}

/**
 * Turns such a check down for good: error 403 (Forbidden), with integrity. Chromium gives up the pair at once, where it
 * would ask again for 15 seconds if nothing came. Valid until the next call.
 */
export function refuseCheck(check: Uint8Array, password: string): Uint8Array {
  message.read(check);
  writer.begin('error', BINDING, message.transactionId);
  writer.errorCode(403);
  return writer.finish(password);
}

const message = new StunMessage();
const writer = new StunWriter();
