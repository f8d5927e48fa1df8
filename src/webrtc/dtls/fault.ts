import type { alertDescription } from './alert.ts';

/** Why a handshake was refused by this side, and the alert that says so to the peer (RFC 5246, section 7.2.2). */
export const handshakeFaultAlert = {
  'no-common-version': 'protocol_version',
  'no-common-cipher-suite': 'handshake_failure',
  'no-common-group': 'handshake_failure',
  'no-common-signature-scheme': 'handshake_failure',
  'insecure-renegotiation': 'handshake_failure',
  'unsolicited-extension': 'unsupported_extension',
  'illegal-parameter': 'illegal_parameter',
  'missing-extension': 'missing_extension',
  'peer-certificate-missing': 'handshake_failure',
  'peer-certificate-unusable': 'unsupported_certificate',
  'fingerprint-mismatch': 'bad_certificate',
  'bad-signature': 'decrypt_error',
  'bad-finished': 'decrypt_error',
  'malformed-message': 'decode_error',
  'unexpected-message': 'unexpected_message',
} as const satisfies Record<string, keyof typeof alertDescription>;

export type HandshakeFaultReason = keyof typeof handshakeFaultAlert;

/** Thrown by a handshake to its endpoint, which turns it into an alert and a `closed` output. Never leaves the endpoint. */
export class HandshakeFault extends Error {
  readonly reason: HandshakeFaultReason;

  constructor(reason: HandshakeFaultReason) {
    super(reason);
    this.reason = reason;
  }
}
