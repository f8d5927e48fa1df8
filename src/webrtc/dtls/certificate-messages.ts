/** Certificate, CertificateRequest and CertificateVerify of DTLS 1.2 (RFC 5246, sections 7.4.2, 7.4.4 and 7.4.8). */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

export interface CertificateRequest {
  readonly certificateTypes: Uint8Array;
  readonly signatureSchemes: readonly number[];
}

export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

/** The chain in DER, the peer's own certificate first; may be empty. */
export function decodeCertificate(body: Uint8Array): Uint8Array[] | null {
  const reader = new ByteReader(body);
  const list = new ByteReader(reader.vector24());
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) chain.push(list.vector24());
  return reader.complete && list.complete ? chain : null;
}

export function encodeCertificate(chain: readonly Uint8Array[]): Uint8Array {
  const list = new ByteWriter();
  for (const certificate of chain) list.vector24(certificate);
  return new ByteWriter().vector24(list.finish()).finish();
}

/** The certificate authorities are read over: certificates are checked by their fingerprints alone. */
export function decodeCertificateRequest(body: Uint8Array): CertificateRequest | null {
  const reader = new ByteReader(body);
  const certificateTypes = reader.vector8();
  const signatureSchemes = reader.uint16List();
  reader.vector16();
  return reader.complete ? { certificateTypes, signatureSchemes } : null;
}

/** Names no certificate authority: any will do. */
export function encodeCertificateRequest(request: CertificateRequest): Uint8Array {
  return new ByteWriter()
    .vector8(request.certificateTypes)
    .uint16List(request.signatureSchemes)
    .vector16(new Uint8Array(0))
    .finish();
}

export function decodeCertificateVerify(body: Uint8Array): CertificateVerify | null {
  const reader = new ByteReader(body);
  const scheme = reader.uint16();
  const signature = reader.vector16();
  return reader.complete ? { scheme, signature } : null;
}

export function encodeCertificateVerify(verify: CertificateVerify): Uint8Array {
  return new ByteWriter().uint16(verify.scheme).vector16(verify.signature).finish();
}
