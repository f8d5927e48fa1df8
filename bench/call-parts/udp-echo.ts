import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { formatAddress, parseAddress } from '../../src/wire/address.ts';

/** Sends every datagram straight back: what the machine and the load generator take by themselves. Ends with its parent. */
const socket = await openUdpSocket({
  address: parseAddress('127.0.0.1:0'),
  handler: {
    datagram: (data, from) => socket.send(data, from),
    batchEnd: () => socket.flush(),
  },
});
process.once('disconnect', () => void socket.close());
process.send?.(formatAddress(socket.address));
