import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { TrunkBundler } from '../../src/net/trunk-bundler.ts';
import { DatagramScratch } from '../../src/transceiver/datagram-scratch.ts';
import { loadSrtpCiphers } from '../../src/webrtc/index.ts';
import { readUint16, readUint32 } from '../../src/wire/integers.ts';
import { deriveSessionKeys } from '../../src/webrtc/srtp/key-derivation.ts';
import { rtpHeaderLength } from '../../src/webrtc/srtp/packet-header.ts';
import { createTransform } from '../../src/webrtc/srtp/packet-transform.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';
import { TrunkCookies, TrunkReader } from '../../src/wire/trunk.ts';
import { CALLERS_KEYS, ECHO_KEYS } from './bare-keys.ts';

/**
 * What no transceiver can do without: the socket and the bundles of the trunk, and SRTP undone and done again. There are no
 * calls, so nothing is looked up, counted, numbered or kept for any. A process of its own, that tells its parent its
 * address and ends with it.
 *
 *   bare-echo SECRET
 */
const cookies = new TrunkCookies(process.argv[2]);
const reader = new TrunkReader(cookies);
const scratch = new DatagramScratch();
const { ciphers } = loadSrtpCiphers();
const incoming = createTransform(CALLERS_KEYS.profile, deriveSessionKeys(CALLERS_KEYS), ciphers);
const outgoing = createTransform(ECHO_KEYS.profile, deriveSessionKeys(ECHO_KEYS), ciphers);
/** The client of the entry that is being echoed. */
const client = { family: 4 as const, ip: new Uint8Array(4), port: 0 };

const socket = await openUdpSocket({
  address: parseAddress('127.0.0.1:0'),
  handler: {
    datagram(data, relay) {
      if (reader.open(data) !== null) return;
      while (reader.next()) {
        const packet = scratch.copy(data, reader.payloadOffset, reader.payloadLength);
        if (!echo(packet)) continue;
        for (let i = 0; i < 4; i++) client.ip[i] = data[reader.ipOffset + i];
        client.port = reader.port;
        bundler.queue(relay, client, null, true, packet);
      }
    },
    batchEnd: () => bundler.flush(),
  },
});
const bundler = new TrunkBundler({ socket, cookies, towardsClients: true });
process.once('disconnect', () => void socket.close());
process.send?.(formatAddress(socket.address));

/** False for what is no packet of a bare flow. No flow lasts until its sequence numbers wrap: they are the index. */
function echo(packet: Uint8Array): boolean {
  const header = rtpHeaderLength(packet, packet.length - incoming.tagLength);
  if (header < 0) return false;
  const ssrc = readUint32(packet, 8);
  const index = readUint16(packet, 2);
  const length = incoming.openRtp(packet, header, packet.length, ssrc, index);
  if (length < 0) return false;
  outgoing.sealRtp(packet, header, length, ssrc, index);
  return true;
}
