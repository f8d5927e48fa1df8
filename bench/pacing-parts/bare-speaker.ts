import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { OpusEncoder } from '../../src/media/opus-encoder.ts';
import { MediaClock } from '../../src/transceiver/media-clock.ts';
import { writeUint32 } from '../../src/wire/integers.ts';
import type { TransportAddress } from '../../src/wire/address.ts';
import { RATE, speech } from './speaker.ts';

/**
 * What no server can do without: a clock, Opus, and a socket. Speaks to as many listeners as it is told, without calls,
 * encryption, events or a relay; how unevenly even this does it is the machine's part.
 *
 * Arguments: the port and how many, at 127.1.0.0 and following.
 */
const port = Number(process.argv[2]);
const HEADER_BYTES = 12;
const FRAME = RATE / 50;
const FRAMES = Math.floor(speech.length / FRAME);

interface Line {
  readonly encoder: OpusEncoder;
  readonly to: TransportAddress;
  readonly packet: Uint8Array;
  readonly from: number;
  frame: number;
  encoded: Uint8Array | null;
}

const socket = await openUdpSocket({
  address: { family: 4, ip: Uint8Array.of(127, 0, 0, 1), port: 0 },
  handler: { datagram: () => undefined, batchEnd: () => undefined },
});
const clock = new MediaClock<Line>({
  tick(lines) {
    for (const line of lines) send(line);
    socket.flush();
  },
  prepare(line) {
    line.encoded = encode(line);
  },
});
for (let i = 0; i < Number(process.argv[3]); i++) {
  const packet = new Uint8Array(1500);
  packet[0] = 0x80;
  packet[1] = 111;
  const to: TransportAddress = { family: 4, ip: Uint8Array.of(127, 1 + (i >> 16), i >> 8, i), port };
  clock.add({ encoder: new OpusEncoder(RATE), to, packet, from: i, frame: 0, encoded: null });
}

function encode({ encoder, from, frame }: Line): Uint8Array {
  const at = ((from + frame) % FRAMES) * FRAME;
  return encoder.encode(speech.subarray(at, at + FRAME));
}

function send(line: Line): void {
  const opus = line.encoded ?? encode(line);
  writeUint32(line.packet, 4, line.frame++ * 960);
  line.packet.set(opus, HEADER_BYTES);
  socket.send(line.packet.subarray(0, HEADER_BYTES + opus.length), line.to);
  line.encoded = null;
}
