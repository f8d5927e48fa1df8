/** Numbers of the TLS and DTLS registries, as far as they are spoken here. */

/** DTLS versions on the wire: the ones' complement of the TLS version (RFC 6347, section 4.1). */
export const protocolVersion = { dtls10: 0xfeff, dtls12: 0xfefd, dtls13: 0xfefc } as const;

/** The versions that are spoken here. */
export type DtlsVersion = '1.2' | '1.3';

/** RFC 5246, section 6.2.1, and RFC 9147, section 4. */
export const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23, ack: 26 } as const;

/** RFC 6347, section 4.3.2, and RFC 8446, section 4. */
export const handshakeType = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  newSessionTicket: 4,
  encryptedExtensions: 8,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
  keyUpdate: 24,
  /** Stands in a transcript for the ClientHello in front of a HelloRetryRequest. */
  messageHash: 254,
} as const;

export const extensionType = {
  supportedGroups: 10,
  ecPointFormats: 11,
  signatureAlgorithms: 13,
  useSrtp: 14,
  extendedMasterSecret: 23,
  supportedVersions: 43,
  cookie: 44,
  keyShare: 51,
  renegotiationInfo: 0xff01,
} as const;

/** RFC 5746, section 3.3: stands for an empty renegotiation_info extension. */
export const emptyRenegotiationInfoScsv = 0x00ff;

/** RFC 5246, section 7.4.4, and RFC 8422, section 5.5. */
export const clientCertificateType = { rsaSign: 1, ecdsaSign: 64 } as const;

/** Groups that both sides contribute a public key to. */
export type DiffieHellmanGroup = 'x25519' | 'secp256r1';

/** Key exchange groups in order of preference for DTLS 1.2 (RFC 8422, section 5.1.1). */
export const diffieHellmanGroupId: Readonly<Record<DiffieHellmanGroup, number>> = { x25519: 29, secp256r1: 23 };

/** X25519MLKEM768 is a key encapsulation beside X25519, safe from quantum computers (draft-ietf-tls-ecdhe-mlkem). */
export type NamedGroup = DiffieHellmanGroup | 'x25519mlkem768';

/** Key exchange groups of DTLS 1.3. */
export const namedGroupId: Readonly<Record<NamedGroup, number>> = { ...diffieHellmanGroupId, x25519mlkem768: 0x11ec };

/** The group with this number, or null when it is none of ours. */
export function namedGroupById(id: number): NamedGroup | null {
  for (const [name, groupId] of Object.entries(namedGroupId)) if (groupId === id) return name as NamedGroup;
  return null;
}

/** A hash of a cipher suite's PRF, by the name that `node:crypto` gives it. */
export type HashName = 'sha256' | 'sha384';

export interface CipherSuite {
  readonly id: number;
  readonly name: string;
  readonly aead: 'aes-128-gcm' | 'aes-256-gcm';
  readonly keyLength: number;
  readonly hash: HashName;
  /** The kind of certificate that the server signs its key exchange with. */
  readonly authentication: 'ecdsa' | 'rsa';
}

/**
 * DTLS 1.2 suites in order of preference (RFC 5289). AES-128 first: it is what every WebRTC peer must have (RFC 8827,
 * section 6.5). The RSA ones are for the client role, against servers that hold an RSA certificate.
 */
export const cipherSuites: readonly CipherSuite[] = [
  { id: 0xc02b, name: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', aead: 'aes-128-gcm', keyLength: 16, hash: 'sha256', authentication: 'ecdsa' },
  { id: 0xc02c, name: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', aead: 'aes-256-gcm', keyLength: 32, hash: 'sha384', authentication: 'ecdsa' },
  { id: 0xc02f, name: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', aead: 'aes-128-gcm', keyLength: 16, hash: 'sha256', authentication: 'rsa' },
  { id: 0xc030, name: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', aead: 'aes-256-gcm', keyLength: 32, hash: 'sha384', authentication: 'rsa' },
];

export interface CipherSuite13 {
  readonly id: number;
  readonly name: string;
  readonly aead: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
  /** What encrypts sequence numbers (RFC 9147, section 4.2.3). */
  readonly mask: 'aes-128-ecb' | 'aes-256-ecb' | 'chacha20';
  readonly keyLength: number;
  readonly hash: HashName;
}

/** DTLS 1.3 suites in order of preference (RFC 8446, appendix B.4). ChaCha20 last: AES is in every server's hardware. */
export const cipherSuites13: readonly CipherSuite13[] = [
  { id: 0x1301, name: 'TLS_AES_128_GCM_SHA256', aead: 'aes-128-gcm', mask: 'aes-128-ecb', keyLength: 16, hash: 'sha256' },
  { id: 0x1302, name: 'TLS_AES_256_GCM_SHA384', aead: 'aes-256-gcm', mask: 'aes-256-ecb', keyLength: 32, hash: 'sha384' },
  { id: 0x1303, name: 'TLS_CHACHA20_POLY1305_SHA256', aead: 'chacha20-poly1305', mask: 'chacha20', keyLength: 32, hash: 'sha256' },
];
