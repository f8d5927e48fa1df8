type Value = string | number | { readonly [key: string]: Value };

interface Node {
  left: Node | number | null;
  right: Node | number | null;
}

/**
 * Writes a small database in MaxMind's format, version 2.0: IPv4 networks (`a.b.c.d/n`) and what is said of each.
 *
 *   search tree: per node two records of 24 bits: a node, or the number of nodes (nothing), or beyond that data
 *   16 zero bytes | data section | \xab\xcd\xefMaxMind.com | metadata
 */
export function writeMmdb(entries: Readonly<Record<string, Value>>): Buffer {
  const nodes: Node[] = [{ left: null, right: null }];
  const data: Buffer[] = [];
  let dataLength = 0;
  for (const [network, value] of Object.entries(entries)) {
    insert(nodes, network, dataLength);
    const encoded = encode(value);
    data.push(encoded);
    dataLength += encoded.length;
  }
  const record = (child: Node | number | null): Buffer => {
    const to = child === null ? nodes.length : typeof child === 'number' ? nodes.length + 16 + child : nodes.indexOf(child);
    return Buffer.from([to >> 16, (to >> 8) & 0xff, to & 0xff]);
  };
  const metadata = encode({
    node_count: nodes.length, record_size: 24, ip_version: 4, database_type: 'Test-City',
    binary_format_major_version: 2, binary_format_minor_version: 0, build_epoch: 1_700_000_000,
  });
  return Buffer.concat([
    ...nodes.flatMap(({ left, right }) => [record(left), record(right)]),
    Buffer.alloc(16),
    ...data,
    Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'),
    metadata,
  ]);
}

function insert(nodes: Node[], network: string, dataOffset: number): void {
  const [ip, prefix] = network.split('/');
  const bits = ip.split('.').map((byte) => Number(byte).toString(2).padStart(8, '0')).join('').slice(0, Number(prefix));
  let node = nodes[0];
  for (const [i, bit] of bits.split('').entries()) {
    const side = bit === '0' ? 'left' : 'right';
    if (i === bits.length - 1) node[side] = dataOffset;
    else {
      let next = node[side];
      if (next === null || typeof next === 'number') {
        next = { left: null, right: null };
        node[side] = next;
        nodes.push(next);
      }
      node = next;
    }
  }
}

/** Control byte: type in the high three bits, length in the low five. Short values only. */
function encode(value: Value): Buffer {
  if (typeof value === 'string') return Buffer.concat([Buffer.from([(2 << 5) | value.length]), Buffer.from(value)]);
  if (typeof value === 'number') {
    const isWhole = Number.isInteger(value) && value >= 0;
    const bytes = Buffer.alloc(isWhole ? 4 : 8);
    if (isWhole) bytes.writeUInt32BE(value);
    else bytes.writeDoubleBE(value);
    return Buffer.concat([Buffer.from([isWhole ? (6 << 5) | 4 : (3 << 5) | 8]), bytes]);
  }
  const members = Object.entries(value);
  return Buffer.concat([Buffer.from([(7 << 5) | members.length]), ...members.flatMap(([key, member]) => [encode(key), encode(member)])]);
}
