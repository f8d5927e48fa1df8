/** ClientHello, HelloVerifyRequest and ServerHello (RFC 6347, section 4.2.1; RFC 5246, section 7.4.1). */
import { createHash } from 'node:crypto';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { decodeExtensions, encodeExtensions } from './extensions.ts';
import type { Extensions } from './extensions.ts';

export const randomLength = 32;

/** Ends the random of a server that speaks 1.3 and agrees on 1.2 (RFC 8446, section 4.1.3): "DOWNGRD" and 1. */
export const downgradeSentinel = Uint8Array.of(0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x01);

/** The random that makes a ServerHello a HelloRetryRequest (RFC 8446, section 4.1.3): SHA-256 of that name. */
export const helloRetryRandom: Uint8Array = createHash('sha256').update('HelloRetryRequest').digest();

/**
 *   ProtocolVersion client_version; Random random; SessionID session_id<0..32>; opaque cookie<0..2^8-1>;
 *   CipherSuite cipher_suites<2..2^16-1>; CompressionMethod compression_methods<1..2^8-1>; Extension extensions<0..2^16-1>
 */
export interface ClientHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cookie: Uint8Array;
  readonly cipherSuites: readonly number[];
  readonly compressionMethods: Uint8Array;
  readonly extensions: Extensions;
}

/** ProtocolVersion server_version; Random random; SessionID session_id; CipherSuite; CompressionMethod; extensions */
export interface ServerHello {
  readonly version: number;
  readonly random: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly cipherSuite: number;
  readonly compressionMethod: number;
  readonly extensions: Extensions;
}

export function decodeClientHello(body: Uint8Array): ClientHello | null {
  const reader = new ByteReader(body);
  const version = reader.uint16();
  const random = reader.bytes(randomLength);
  const sessionId = reader.vector8();
  const cookie = reader.vector8();
  const cipherSuites = reader.uint16List();
  const compressionMethods = reader.vector8();
  const extensions = decodeExtensions(reader);
  if (!reader.complete || !extensions || sessionId.length > 32) return null;
  if (cipherSuites.length === 0 || compressionMethods.length === 0) return null;
  return { version, random, sessionId, cookie, cipherSuites, compressionMethods, extensions };
}

export function encodeClientHello(hello: ClientHello): Uint8Array {
  const writer = new ByteWriter()
    .uint16(hello.version)
    .bytes(hello.random)
    .vector8(hello.sessionId)
    .vector8(hello.cookie)
    .uint16List(hello.cipherSuites)
    .vector8(hello.compressionMethods);
  encodeExtensions(writer, hello.extensions);
  return writer.finish();
}

/** The cookie that the client is to repeat. The version of this message means nothing (RFC 6347, section 4.2.1). */
export function decodeHelloVerifyRequest(body: Uint8Array): Uint8Array | null {
  const reader = new ByteReader(body);
  reader.uint16();
  const cookie = reader.vector8();
  return reader.complete ? cookie : null;
}

export function decodeServerHello(body: Uint8Array): ServerHello | null {
  const reader = new ByteReader(body);
  const version = reader.uint16();
  const random = reader.bytes(randomLength);
  const sessionId = reader.vector8();
  const cipherSuite = reader.uint16();
  const compressionMethod = reader.uint8();
  const extensions = decodeExtensions(reader);
  if (!reader.complete || !extensions || sessionId.length > 32) return null;
  return { version, random, sessionId, cipherSuite, compressionMethod, extensions };
}

export function encodeServerHello(hello: ServerHello): Uint8Array {
  const writer = new ByteWriter()
    .uint16(hello.version)
    .bytes(hello.random)
    .vector8(hello.sessionId)
    .uint16(hello.cipherSuite)
    .uint8(hello.compressionMethod);
  encodeExtensions(writer, hello.extensions);
  return writer.finish();
}
