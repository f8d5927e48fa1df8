import { kernelMemory, requireLibc } from '../../src/net/libc.ts';
import { ReceiveVector, SendVector } from '../../src/net/message-vector.ts';
import { openRawSocket } from '../../src/net/raw-socket.ts';
import { TrunkBundles } from '../../src/net/trunk-bundles.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { TRUNK_MTU, TrunkCookies, TrunkEntry, TrunkReader } from '../../src/wire/trunk.ts';

/**
 * Stands in for a transceiver: sends every packet of the trunk straight back, bundled alike, if its client's address is
 * below 127.LIMIT: the others it treats as if they had not authenticated. `direct` in place of the secret: no trunk, each
 * datagram goes back as it came. A process of its own, that tells its parent its address, then lives in a blocking
 * loop until it is killed or orphaned.
 *
 *   echo-transceiver SECRET|direct [LIMIT [ADDRESS]]
 */
const BATCH = 64;
const libc = requireLibc();
const buffers = { receiveBuffer: 8 << 20, sendBuffer: 8 << 20 };
const [secret, limit = '256', address = '127.0.0.1:0'] = process.argv.slice(2) as [string, string?, string?];
const socket = openRawSocket(libc, { address: parseAddress(address), reusePort: false, ...buffers });
const isDirect = secret === 'direct';
const clientLimit = Number(limit);
const cookies = new TrunkCookies(secret);
const reader = new TrunkReader(cookies);
const incoming = new ReceiveVector(libc, BATCH);
const outgoing = new SendVector(libc, BATCH, 4);
const bundles = new TrunkBundles({ slots: outgoing, cookies, towardsClients: true, mtu: TRUNK_MTU });
const entry = new TrunkEntry();
const pollSet = kernelMemory(8);
const parent = process.ppid;

function echo(): number {
  const count = incoming.receive(socket.fd);
  for (let i = 0; i < count; i++) {
    incoming.read(i);
    if (isDirect) {
      outgoing.pushPointer(incoming.addressAt(incoming.slotAt(i)), incoming.length, 4, incoming.memory, incoming.from.ipOffset, incoming.from.port);
      continue;
    }
    if (reader.open(incoming.memory, incoming.slotAt(i), incoming.length) !== null) continue;
    while (reader.next()) {
      if (incoming.memory[reader.ipOffset + 1] >= clientLimit) continue;
      entry.family = reader.family;
      entry.ip = incoming.memory;
      entry.ipOffset = reader.ipOffset;
      entry.port = reader.port;
      entry.verified = true;
      entry.payload = incoming.memory;
      entry.payloadOffset = reader.payloadOffset;
      entry.payloadLength = reader.payloadLength;
      const { ipOffset, port } = incoming.from;
      if (bundles.add(incoming.memory, ipOffset, port, entry) !== 'full') continue;
      send();
      bundles.add(incoming.memory, ipOffset, port, entry);
    }
  }
  if (bundles.count > 0) send();
  else if (outgoing.used > 0) outgoing.send(socket.fd);
  return count;
}

function send(): void {
  for (let i = 0; i < bundles.count; i++) outgoing.push(bundles.length(i), 4, bundles.peerIps, i * 4, bundles.peerPort(i));
  outgoing.send(socket.fd);
  bundles.clear();
}

new DataView(pollSet.buffer).setInt32(0, socket.fd, true);
pollSet[4] = 1;
process.send?.(formatAddress(socket.address), () => {
  while (process.ppid === parent) if (echo() === 0) libc.poll(pollSet, 1, 500);
  process.exit();
});
