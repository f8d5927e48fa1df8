import { type Libc, kernelMemory } from '../../src/net/libc.ts';
import { SendVector } from '../../src/net/message-vector.ts';

/**
 * Sends as many clients from one socket: each message carries IP_PKTINFO with its own source address out of
 * 127.0.0.0/8, all of which is loopback. So the generator pays one system call for 64 packets of 64 clients, and the
 * relay sees clients as it would on the internet.
 *
 *   struct cmsghdr: 0 len u64 (16 + 12), 8 level i32, 12 type i32; struct in_pktinfo: 16 ifindex i32, 20 source, 24 –
 */
export class ClientSwarm extends SendVector {
  readonly #control: Uint8Array;

  constructor(libc: Libc, count: number) {
    super(libc, count, 4);
    this.#control = kernelMemory(count * CONTROL_BYTES);
    const view = new DataView(this.#control.buffer);
    const base = libc.addressOf(this.#control);
    for (let i = 0; i < count; i++) {
      view.setUint32(i * CONTROL_BYTES, 28, true);
      view.setInt32(i * CONTROL_BYTES + 12, IP_PKTINFO, true);
      this.writePointer(this.headerAt(i) + 32, base + i * CONTROL_BYTES);
      this.words[(this.headerAt(i) + 40) >> 2] = CONTROL_BYTES;
    }
  }

  /** The next message that is pushed comes from this client: of 65,025 in each of the networks N.1 to N.255, N = 127 unless given. */
  from(client: number, network = 127): void {
    const at = this.used * CONTROL_BYTES + 20;
    this.#control[at] = network;
    this.#control[at + 1] = 1 + client / (255 * 255);
    this.#control[at + 2] = (client / 255) % 255;
    this.#control[at + 3] = 1 + (client % 255);
  }
}

const CONTROL_BYTES = 32;
const IP_PKTINFO = 8;
