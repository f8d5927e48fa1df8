// The global of this name is a getter, which costs more than the call.
import { performance } from 'node:perf_hooks';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type Libc, kernelMemory, requireLibc } from '../net/libc.ts';
import { ReceiveVector, SendVector, VectorMemory } from '../net/message-vector.ts';
import type { TrunkBundles } from '../net/trunk-bundles.ts';
import { type CounterBlock, counterIndex } from './counters.ts';
import { Gathering } from './gathering.ts';
import type { HistogramBlock } from './histograms.ts';
import { PacketPath } from './packet-path.ts';
import { listFlows } from './handover-flows.ts';
import { post } from './post.ts';
import { RecoveryMail } from './recovery-mail.ts';
import {
  HOLD,
  MAIL,
  RUNNING,
  type RelayWorkerSetup,
  STOP,
  type WorkerMail,
  type WorkerParts,
  controlWord,
  histogramBlock,
  makeCore,
  peerReports,
  takeMail,
} from './worker-setup.ts';

/**
 * A relay worker of the `mmsg` engine: a thread that lives in one blocking loop on two sockets.
 *
 *   ┌─► poll(public, trunk, wake)          does not wait while a socket gives full batches; under load a short
 *   │                                      sleep in its place, see `gathering.ts`
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
/** How late a sleep may end, nanoseconds; by default the kernel takes 50,000. */
const TIMER_SLACK_NS = 1000;
const PR_SET_TIMERSLACK = 29;
const TICK_MS = 1000;
const SLOW_LOOP_MS = 5;
const POLLIN = 1;
const POLLFD_BYTES = 8;
const REVENTS = 6;
const LOOPS = counterIndex('loops');
const LOOP_SECONDS = counterIndex('loopSeconds');
const RECEIVE_CALLS = counterIndex('receiveCalls');
const SEND_CALLS = counterIndex('sendCalls');
const SEND_ERRORS = counterIndex('sendErrors');

class MmsgLoop {
  readonly #libc: Libc;
  readonly #setup: MmsgWorkerSetup;
  readonly #parts: WorkerParts;
  readonly #counters: CounterBlock;
  readonly #histograms: HistogramBlock;
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
  readonly #gathering: Gathering;
  readonly #sleepTime = kernelMemory(16);
  readonly #sleepNanoseconds: Uint32Array;
  /** The last batch of one socket was full. */
  #hasMore = false;
  #publicReady = false;
  #trunkReady = false;
  #nextTick = 0;

  constructor(libc: Libc, setup: MmsgWorkerSetup) {
    this.#libc = libc;
    this.#setup = setup;
    this.#parts = makeCore(setup, this.#mail, performance.now());
    const { core, probers, counters, cookies } = this.#parts;
    this.#counters = counters;
    this.#histograms = histogramBlock(setup.shared);
    this.#control = controlWord(setup.shared);
    const memory = new VectorMemory(libc, 4 * RECEIVE_BATCH + SEND_BATCH);
    this.#publicIn = new ReceiveVector(libc, RECEIVE_BATCH, memory);
    this.#trunkIn = new ReceiveVector(libc, RECEIVE_BATCH, memory);
    this.#publicOut = new SendVector(libc, SEND_BATCH, setup.publicFamily, memory);
    this.#trunkOut = new SendVector(libc, RECEIVE_BATCH, 4, memory);
    this.#viaOut = new SendVector(libc, RECEIVE_BATCH, 4, memory);
    this.#path = new PacketPath({
      core,
      cluster: setup.cluster,
      probers,
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
    this.#gathering = new Gathering(setup.gatherUs);
    // `struct timespec`: seconds i64, nanoseconds i64.
    this.#sleepNanoseconds = new Uint32Array(this.#sleepTime.buffer, 8, 1);
  }

  run(): void {
    this.#libc.prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    // With the sockets of a relay that still reads them.
    this.#rest();
    let now = performance.now();
    for (;;) {
      if (!this.#hasMore) {
        const { pause } = this.#gathering;
        if (pause > 0) this.#sleep(pause);
        else this.#wait();
      }
      const control = Atomics.load(this.#control, 0);
      if ((control & STOP) !== 0) return;
      if ((control & HOLD) !== 0) {
        post(parentPort, listFlows(this.#parts.core.flows));
        this.#rest();
        continue;
      }
      now = performance.now();
      if ((control & MAIL) !== 0) this.#readMail(now);
      const fromClients = this.#publicReady ? this.#drainPublic(now) : 0;
      const fromTrunk = this.#trunkReady ? this.#drainTrunk(now) : 0;
      // More may wait. Both are read then: a flood of one socket must not keep the other from being looked at, and to
      // read an empty one costs less than to ask. After any smaller batch it would mostly be a system call for nothing.
      this.#hasMore = fromClients === RECEIVE_BATCH || fromTrunk === RECEIVE_BATCH;
      this.#publicReady = this.#hasMore;
      this.#trunkReady = this.#hasMore;
      this.#gathering.hasRead(fromClients + fromTrunk, now);
      if (now >= this.#nextTick) {
        this.#nextTick = now + TICK_MS;
        this.#tick(now);
        this.#counters.gathering = this.#gathering.active;
      }
      if (now >= this.#path.nextTickAt) {
        this.#path.tick(now);
        this.#path.flush();
      }
      this.#mail.flush();
      const start = now;
      now = performance.now();
      if (fromClients + fromTrunk > 0) this.#countLoop(now - start);
    }
  }

  /** In place of waiting for readiness: afterwards both sockets are read, whatever they hold. */
  #sleep(milliseconds: number): void {
    this.#sleepNanoseconds[0] = milliseconds * 1e6;
    this.#libc.nanosleep(this.#sleepTime, null);
    this.#publicReady = true;
    this.#trunkReady = true;
    this.#counters.add('gatherings', 1);
    this.#counters.add('gatheringSeconds', milliseconds / 1000);
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
    this.#parts.core.tick(now);
    const reports = peerReports(this.#parts, now);
    if (reports !== null) post(parentPort, reports);
  }

  #countLoop(milliseconds: number): void {
    this.#counters.addAt(LOOPS, 1);
    this.#counters.addAt(LOOP_SECONDS, milliseconds / 1000);
    this.#histograms.loop.observe(milliseconds / 1000);
    if (milliseconds > SLOW_LOOP_MS) this.#counters.add('slowLoops', 1);
  }

  #wait(): void {
    const { nextTickAt } = this.#path;
    const limit = nextTickAt === Number.POSITIVE_INFINITY ? POLL_MS : Math.max(0, Math.min(POLL_MS, Math.ceil(nextTickAt - performance.now())));
    if (this.#libc.poll(this.#pollSet, 3, limit) <= 0) return;
    this.#publicReady = this.#pollSet[REVENTS] !== 0;
    this.#trunkReady = this.#pollSet[POLLFD_BYTES + REVENTS] !== 0;
    if (this.#pollSet[2 * POLLFD_BYTES + REVENTS] !== 0) this.#libc.read(this.#setup.wakeFd, this.#wakeCount, 8);
  }

  #drainPublic(now: number): number {
    const vector = this.#publicIn;
    const count = vector.receive(this.#setup.publicFd);
    this.#counters.addAt(RECEIVE_CALLS, 1);
    this.#histograms.receiveBatch.observe(count);
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
    this.#counters.addAt(RECEIVE_CALLS, 1);
    this.#histograms.receiveBatch.observe(count);
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
    const { calls, sent } = vector;
    vector.send(fd);
    this.#histograms.sendBatch.observe(vector.sent - sent);
    this.#counters.addAt(SEND_CALLS, vector.calls - calls);
    this.#counters.addAt(SEND_ERRORS, vector.takeErrors());
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
