/**
 * The alert protocol (RFC 5246, section 7.2):
 *
 *   struct { AlertLevel level; AlertDescription description; } Alert;
 */

/** Alert descriptions and their numbers (RFC 5246, section 7.2; RFC 5746; RFC 8446, section 6). */
export const alertDescription = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  decryption_failed: 21,
  record_overflow: 22,
  decompression_failure: 30,
  handshake_failure: 40,
  no_certificate: 41,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  export_restriction: 60,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;

/** `unknown` stands for a number that is not registered. */
export type AlertDescription = keyof typeof alertDescription | 'unknown';

export interface Alert {
  readonly level: 'warning' | 'fatal';
  readonly description: AlertDescription;
}

export function encodeAlert(level: Alert['level'], description: keyof typeof alertDescription): Uint8Array {
  return Uint8Array.of(level === 'fatal' ? 2 : 1, alertDescription[description]);
}

/** Null when this is not exactly one alert. */
export function decodeAlert(bytes: Uint8Array): Alert | null {
  if (bytes.length !== 2 || (bytes[0] !== 1 && bytes[0] !== 2)) return null;
  return { level: bytes[0] === 2 ? 'fatal' : 'warning', description: descriptionByNumber.get(bytes[1]) ?? 'unknown' };
}

const descriptionByNumber = new Map<number, AlertDescription>(
  Object.entries(alertDescription).map(([name, number]) => [number, name as AlertDescription]),
);
