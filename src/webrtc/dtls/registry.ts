/** Numbers of the TLS and DTLS registries, as far as they are spoken here. */

/** DTLS versions on the wire: the ones' complement of the TLS version (RFC 6347, section 4.1). */
export const protocolVersion = { dtls10: 0xfeff, dtls12: 0xfefd } as const;

/** RFC 5246, section 6.2.1. */
export const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;

/** RFC 6347, section 4.3.2. */
export const handshakeType = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
} as const;

export const extensionType = {
  supportedGroups: 10,
  ecPointFormats: 11,
  signatureAlgorithms: 13,
  useSrtp: 14,
  extendedMasterSecret: 23,
  supportedVersions: 43,
  renegotiationInfo: 0xff01,
} as const;

/** RFC 5746, section 3.3: stands for an empty renegotiation_info extension. */
export const emptyRenegotiationInfoScsv = 0x00ff;

/** RFC 5246, section 7.4.4, and RFC 8422, section 5.5. */
export const clientCertificateType = { rsaSign: 1, ecdsaSign: 64 } as const;

export type NamedGroup = 'x25519' | 'secp256r1';

/** Key exchange groups in order of preference (RFC 8422, section 5.1.1). */
export const namedGroupId: Readonly<Record<NamedGroup, number>> = { x25519: 29, secp256r1: 23 };

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
