import type { TransportAddress } from './address.ts';

/**
 * Where a transceiver worker listens for its trunk, in six bytes:
 *
 *   kind 0: IPv4 address (4 bytes), port (u16, big-endian)
 *   kind 1: node id (6 bytes), to be looked up in a directory
 */
export type Locator =
  | { readonly kind: 0; readonly address: TransportAddress }
  | { readonly kind: 1; readonly nodeId: Uint8Array };

export const LOCATOR_BYTES = 6;

/**
 * Writes the six bytes of a locator.
 * @throws {RangeError} when the address is not IPv4, or the node id not six bytes: a caller's mistake.
 */
export function writeLocator(into: Uint8Array, offset: number, locator: Locator): void {
  if (locator.kind === 1) {
    if (locator.nodeId.length !== LOCATOR_BYTES) throw new RangeError('A node id has 6 bytes');
    into.set(locator.nodeId, offset);
    return;
  }
  if (locator.address.family !== 4) {
    throw new RangeError('A trunk address in a token must be IPv4; give IPv6 transceivers a node id');
  }
  writeEndpoint4(into, offset, locator.address.ip, 0, locator.address.port);
}

/** The locator in six bytes, copied out. */
export function readLocator(kind: 0 | 1, bytes: Uint8Array, offset: number): Locator {
  const value = bytes.slice(offset, offset + LOCATOR_BYTES);
  return kind === 1 ? { kind, nodeId: value } : { kind, address: readEndpoint4(value, 0) };
}

/** IPv4 address and port in six bytes, as locators and the trunk's via hold them. */
export function writeEndpoint4(into: Uint8Array, offset: number, ip: Uint8Array, ipOffset: number, port: number): void {
  for (let i = 0; i < 4; i++) into[offset + i] = ip[ipOffset + i];
  into[offset + 4] = port >> 8;
  into[offset + 5] = port;
}

/** The opposite of {@link writeEndpoint4}; allocates. */
export function readEndpoint4(bytes: Uint8Array, offset: number): TransportAddress {
  return { family: 4, ip: bytes.slice(offset, offset + 4), port: (bytes[offset + 4] << 8) | bytes[offset + 5] };
}
