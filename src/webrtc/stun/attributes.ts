/** STUN constants: RFC 8489 (section 18.3) and the attributes that ICE adds (RFC 8445, section 16.1). */

export const MAGIC_COOKIE = 0x2112a442;
/** Bytes of the fixed header. */
export const HEADER_LENGTH = 20;
export const TRANSACTION_ID_LENGTH = 12;
/** The only method ICE uses. */
export const BINDING = 0x001;

export type StunClass = 'request' | 'indication' | 'success' | 'error';

/** Attribute types. Those below 0x8000 must be understood by the receiver (RFC 8489, section 14). */
export const StunAttribute = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  realm: 0x0014,
  nonce: 0x0015,
  messageIntegritySha256: 0x001c,
  xorMappedAddress: 0x0020,
  priority: 0x0024,
  useCandidate: 0x0025,
  software: 0x8022,
  fingerprint: 0x8028,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
  /** One DTLS datagram (draft-hancke-webrtc-sped). */
  dtlsInStun: 0xc070,
  /** CRC-32 of DTLS datagrams that have arrived (draft-hancke-webrtc-sped). */
  dtlsInStunAck: 0xc071,
} as const;

/** ERROR-CODE values in use here, with the reason phrases of RFC 8489 and RFC 8445. */
export const STUN_ERRORS = {
  403: 'Forbidden',
  420: 'Unknown Attribute',
  487: 'Role Conflict',
} as const;

export type StunErrorCode = keyof typeof STUN_ERRORS;

const REQUIRED_AND_KNOWN: ReadonlySet<number> = new Set(
  Object.values(StunAttribute).filter((type) => type < 0x8000),
);

/** True for a comprehension-required attribute that this implementation does not know. */
export function isUnknownRequired(type: number): boolean {
  return type < 0x8000 && !REQUIRED_AND_KNOWN.has(type);
}
