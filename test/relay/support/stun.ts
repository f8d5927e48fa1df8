/** A STUN binding request (RFC 8489) with the given USERNAME, or none. */
export function bindingRequest(username: string | null, transaction = 1): Uint8Array {
  const value = Buffer.from(username ?? '', 'latin1');
  const padded = (value.length + 3) & ~3;
  const body = Buffer.alloc(8 + (username === null ? 0 : 4 + padded));
  // PRIORITY comes first, so that a reader has to step over something.
  body.writeUInt16BE(0x0024, 0);
  body.writeUInt16BE(4, 2);
  body.writeUInt32BE(0x6e0001ff, 4);
  if (username !== null) {
    body.writeUInt16BE(0x0006, 8);
    body.writeUInt16BE(value.length, 10);
    value.copy(body, 12);
  }
  return stunMessage(0x0001, body, transaction);
}

export function stunMessage(type: number, body: Uint8Array, transaction = 1): Uint8Array {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length, 2);
  header.writeUInt32BE(0x2112a442, 4);
  header.writeUInt32BE(transaction, 16);
  return new Uint8Array(Buffer.concat([header, body]));
}
