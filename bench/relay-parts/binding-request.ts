/** RFC 8489, with USERNAME alone. */
export function bindingRequest(username: string): Uint8Array {
  const padded = (username.length + 3) & ~3;
  const request = Buffer.alloc(24 + padded);
  request.writeUInt16BE(0x0001, 0);
  request.writeUInt16BE(4 + padded, 2);
  request.writeUInt32BE(0x2112a442, 4);
  request.writeUInt16BE(0x0006, 20);
  request.writeUInt16BE(username.length, 22);
  request.write(username, 24, 'latin1');
  return request;
}
