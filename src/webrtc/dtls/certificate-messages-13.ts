/** Certificate and CertificateRequest of DTLS 1.3 (RFC 8446, sections 4.3.2 and 4.4.2). CertificateVerify is that of 1.2. */
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { decodeExtensions, decodeUint16List, encodeExtensions, encodeUint16List } from './extensions.ts';
import { extensionType } from './registry.ts';

export interface CertificateRequest13 {
  /** certificate_request_context: empty during a handshake. */
  readonly context: Uint8Array;
  readonly signatureSchemes: readonly number[];
}

export interface Certificate13 {
  readonly context: Uint8Array;
  /** In DER, the peer's own first; may be empty. What an entry says beside its certificate is not kept. */
  readonly chain: readonly Uint8Array[];
}

export function decodeCertificate13(body: Uint8Array): Certificate13 | null {
  const reader = new ByteReader(body);
  const context = reader.vector8();
  const list = new ByteReader(reader.vector24());
  const chain: Uint8Array[] = [];
  while (list.remaining > 0) {
    chain.push(list.vector24());
    list.vector16();
  }
  return reader.complete && list.complete ? { context, chain } : null;
}

export function encodeCertificate13({ context, chain }: Certificate13): Uint8Array {
  const list = new ByteWriter();
  for (const certificate of chain) list.vector24(certificate).vector16(new Uint8Array(0));
  return new ByteWriter().vector8(context).vector24(list.finish()).finish();
}

/** Null also without signature_algorithms, which must be there. Certificate authorities are read over. */
export function decodeCertificateRequest13(body: Uint8Array): CertificateRequest13 | null {
  const reader = new ByteReader(body);
  const context = reader.vector8();
  const data = decodeExtensions(reader)?.get(extensionType.signatureAlgorithms);
  const signatureSchemes = data ? decodeUint16List(data) : null;
  return reader.complete && signatureSchemes ? { context, signatureSchemes } : null;
}

export function encodeCertificateRequest13({ context, signatureSchemes }: CertificateRequest13): Uint8Array {
  const writer = new ByteWriter().vector8(context);
  encodeExtensions(writer, new Map([[extensionType.signatureAlgorithms, encodeUint16List(signatureSchemes)]]));
  return writer.finish();
}
