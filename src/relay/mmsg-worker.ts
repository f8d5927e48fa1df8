import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type Libc, kernelMemory, requireLibc } from '../net/libc.ts';
import { ReceiveVector, SendVector } from '../net/message-vector.ts';
import type { TrunkBundles } from '../net/trunk-bundles.ts';
import type { CounterBlock } from './counters.ts';
import { PacketPath } from './packet-path.ts';
import { listFlows } from './handover-flows.ts';
import { post } from './post.ts';
import { RecoveryMail } from './recovery-mail.ts';
import {
  HOLD,
  MAIL,
  RUNNING,
  type PathReports,
  type RelayWorkerSetup,
  STOP,
  type WorkerMail,
  type WorkerParts,
  controlWord,
  makeCore,
  takeMail,
} from './worker-setup.ts';

/**
 * A relay worker of the `mmsg` engine: a thread that lives in one blocking loop on two sockets.
 *
 *   ┌─► poll(public, trunk, wake)          does not wait while a socket gives full batches
 *   │   recvmmsg(public) ─► decide ─► bundle ─► sendmmsg(trunk)
 *   └── recvmmsg(trunk)  ─► decide ───────────► sendmmsg(public)     straight from receive memory
 *
 * Sockets are opened by the main thread, in a fixed order. It writes the control word and then the eventfd `wakeFd`
 * to end the loop, or to have it read the message port, as no event loop does here; counters are in shared memory.
 */
export interface MmsgWorkerSetup extends RelayWorkerSetup {
  readonly publicFd: number;
  readonly trunkFd: number;
  readonly wakeFd: number;
}

const RECEIVE_BATCH = 64;
const SEND_BATCH = 256;
/** Longest sleep: bounds how long an idle flow outlives its time, and how long an exiting process waits for us. */
const POLL_MS = 1000;
const TICK_MS = 1000;
const SLOW_LOOP_MS = 5;
const POLLIN = 1;
const POLLFD_BYTES = 8;
const REVENTS = 6;

class MmsgLoop {
  readonly #libc: Libc;
  readonly #setup: MmsgWorkerSetup;
  readonly #parts: WorkerParts;
  readonly #counters: CounterBlock;
  readonly #path: PacketPath;
  readonly #control: Int32Array;
  readonly #publicIn: ReceiveVector;
  readonly #trunkIn: ReceiveVector;
  readonly #publicOut: SendVector;
  readonly #trunkOut: SendVector;
  readonly #viaOut: SendVector;
  readonly #pollSet: Uint8Array;
  readonly #mail = new RecoveryMail((message) => post(parentPort, message));
  readonly #wakeCount = kernelMemory(8);
  #publicReady = false;
  #trunkReady = false;
  #nextTick = 0;

  constructor(libc: Libc, setup: MmsgWorkerSetup) {
    this.#libc = libc;
    this.#setup = setup;
    this.#parts = makeCore(setup, this.#mail, performance.now());
    const { core, paths, counters, cookies } = this.#parts;
    this.#counters = counters;
    this.#control = controlWord(setup.shared);
    this.#publicIn = new ReceiveVector(libc, RECEIVE_BATCH);
    this.#trunkIn = new ReceiveVector(libc, RECEIVE_BATCH);
    this.#publicOut = new SendVector(libc, SEND_BATCH, setup.publicFamily);
    this.#trunkOut = new SendVector(libc, RECEIVE_BATCH, 4);
    this.#viaOut = new SendVector(libc, RECEIVE_BATCH, 4);
    this.#path = new PacketPath({
      core,
      cluster: setup.cluster,
      paths,
      counters,
      cookies,
      mtu: setup.trunkMtu,
      forwardSlots: this.#trunkOut,
      viaSlots: this.#viaOut,
      sinks: {
        // All of `data` is #trunkIn's memory here: the kernel reads the payload where it was received.
        toClient: (_data, offset, length, family, ip, ipOffset, port) => {
          this.#publicOut.pushPointer(this.#trunkIn.addressAt(offset), length, family, ip, ipOffset, port);
          if (this.#publicOut.full) this.#send(this.#publicOut, setup.publicFd);
        },
        toTrunk: (bundles) => this.#sendBundles(bundles),
      },
    });
    this.#pollSet = makePollSet([setup.publicFd, setup.trunkFd, setup.wakeFd]);
  }

  run(): void {
    // With the sockets of a relay that still reads them.
    this.#rest();
    for (;;) {
      // A flood of one socket must not keep the other from being looked at.
      if (!this.#publicReady || !this.#trunkReady) this.#wait();
      const control = Atomics.load(this.#control, 0);
      if ((control & STOP) !== 0) return;
      if ((control & HOLD) !== 0) {
        post(parentPort, listFlows(this.#parts.core.flows));
        this.#rest();
        continue;
      }
      const now = performance.now();
      if ((control & MAIL) !== 0) this.#readMail(now);
      const busy = this.#publicReady || this.#trunkReady;
      // A full batch means that more may wait; asking again after any other would mostly be a system call for nothing.
      if (this.#publicReady) this.#publicReady = this.#drainPublic(now) === RECEIVE_BATCH;
      if (this.#trunkReady) this.#trunkReady = this.#drainTrunk(now) === RECEIVE_BATCH;
      if (now >= this.#nextTick) {
        this.#nextTick = now + TICK_MS;
        this.#tick(now);
      }
      if (now >= this.#path.nextTickAt) {
        this.#path.tick(now);
        this.#path.flush();
      }
      this.#mail.flush();
      if (busy) this.#countLoop(performance.now() - now);
    }
  }

  #readMail(now: number): void {
    Atomics.and(this.#control, 0, ~MAIL);
    for (let mail = receiveMessageOnPort(parentPort!); mail !== undefined; mail = receiveMessageOnPort(parentPort!)) {
      takeMail(this.#parts, mail.message as WorkerMail, now);
    }
  }

  /** Leaves the sockets alone for as long as HOLD is set. All that was received before has been sent. */
  #rest(): void {
    for (;;) {
      const control = Atomics.load(this.#control, 0);
      if ((control & (HOLD | STOP)) !== HOLD) return;
      if ((control & MAIL) !== 0) this.#readMail(performance.now());
      else Atomics.wait(this.#control, 0, control);
    }
  }

  #tick(now: number): void {
    const { core, paths } = this.#parts;
    core.tick(now);
    if (paths !== null) post(parentPort, { paths: paths.reports(now) } satisfies PathReports);
  }

  #countLoop(milliseconds: number): void {
    this.#counters.add('loops', 1);
    this.#counters.add('loopSeconds', milliseconds / 1000);
    if (milliseconds > SLOW_LOOP_MS) this.#counters.add('slowLoops', 1);
  }

  #wait(): void {
    const isIdle = !this.#publicReady && !this.#trunkReady;
    const idleMs = Math.max(0, Math.min(POLL_MS, Math.ceil(this.#path.nextTickAt - performance.now())));
    const ready = this.#libc.poll(this.#pollSet, 3, isIdle ? idleMs : 0) > 0;
    this.#publicReady ||= ready && this.#pollSet[REVENTS] !== 0;
    this.#trunkReady ||= ready && this.#pollSet[POLLFD_BYTES + REVENTS] !== 0;
    if (ready && this.#pollSet[2 * POLLFD_BYTES + REVENTS] !== 0) this.#libc.read(this.#setup.wakeFd, this.#wakeCount, 8);
  }

  #drainPublic(now: number): number {
    const vector = this.#publicIn;
    const count = vector.receive(this.#setup.publicFd);
    this.#counters.add('receiveCalls', 1);
    for (let i = 0; i < count; i++) {
      vector.read(i);
      const { family, ipOffset, port } = vector.from;
      if (vector.truncated) this.#counters.drop('oversize');
      else this.#path.fromClient(vector.memory, vector.slotAt(i), vector.length, family, vector.memory, ipOffset, port, now);
    }
    this.#path.flush();
    return count;
  }

  #drainTrunk(now: number): number {
    const vector = this.#trunkIn;
    const count = vector.receive(this.#setup.trunkFd);
    this.#counters.add('receiveCalls', 1);
    for (let i = 0; i < count; i++) {
      vector.read(i);
      const { ipOffset, port } = vector.from;
      if (vector.truncated) this.#counters.drop('oversize');
      else this.#path.fromTrunk(vector.memory, vector.slotAt(i), vector.length, vector.memory, ipOffset, port, now);
    }
    if (this.#publicOut.used > 0) this.#send(this.#publicOut, this.#setup.publicFd);
    this.#path.flush();
    return count;
  }

  #sendBundles(bundles: TrunkBundles): void {
    // The bundles were composed in the slots of the vector that sends them.
    const vector = bundles.slots === this.#trunkOut ? this.#trunkOut : this.#viaOut;
    for (let i = 0; i < bundles.count; i++) vector.push(bundles.length(i), 4, bundles.peerIps, i * 4, bundles.peerPort(i));
    this.#send(vector, this.#setup.trunkFd);
  }

  #send(vector: SendVector, fd: number): void {
    const calls = vector.calls;
    vector.send(fd);
    this.#counters.add('sendCalls', vector.calls - calls);
    this.#counters.add('sendErrors', vector.takeErrors());
  }
}

/** `struct pollfd`, {@link POLLFD_BYTES}: fd i32, events i16, revents i16. */
function makePollSet(fds: readonly number[]): Uint8Array {
  const memory = kernelMemory(fds.length * POLLFD_BYTES);
  const view = new DataView(memory.buffer);
  fds.forEach((fd, i) => {
    view.setInt32(i * POLLFD_BYTES, fd, true);
    view.setInt16(i * POLLFD_BYTES + 4, POLLIN, true);
  });
  return memory;
}

const loop = new MmsgLoop(requireLibc(), workerData as MmsgWorkerSetup);
post(parentPort, RUNNING);
loop.run();
