import { Decoder, Encoder } from '@evan/opus';
import { Audio, PeerConnection, type DataChannel, type Track } from 'node-datachannel';
import './release-libdatachannel.ts';
import { fromPcm16, resample, toPcm16, type Sound } from './audio.ts';
import { EventMailbox, type RealtimeEvent } from './event-mailbox.ts';
import { buildRtp, readRtp, type RtpPacket } from './rtp.ts';
import { SILENT_PACKET } from './silent-packet.ts';

export interface CallerOptions {
  /** Where the offer is posted: `http://127.0.0.1:8080/v1/realtime/calls`. */
  readonly endpoint: string;
  readonly apiKey?: string;
  /** Silence is one packet, again and again, which costs no encoder's time: for many calls at once. */
  readonly cheapSilence?: boolean;
}

/** A received packet with its arrival in milliseconds of `performance.now()`. */
export interface HeardPacket extends RtpPacket {
  readonly at: number;
}

/** When the first and the last packet of an utterance left, in milliseconds of `performance.now()`. */
export interface Utterance {
  readonly from: number;
  readonly to: number;
}

const SAMPLE_RATE = 48_000;
const FRAME_MS = 20;
const FRAME_SAMPLES = (SAMPLE_RATE * FRAME_MS) / 1000;
const PAYLOAD_TYPE = 111;
const SSRC = 0x0ea25407;

/**
 * A caller made of libdatachannel, a WebRTC stack that shares no line with Earshot or a browser. Like a telephone its
 * microphone never stops: from the connection on an Opus frame leaves every 20 ms, silence unless `speak` is under way.
 */
export class LibdatachannelCaller {
  /** The answer as received. */
  readonly answer: string;
  /** Where the call lives, absolute. */
  #location: string | null;
  readonly events = new EventMailbox();
  readonly heard: HeardPacket[] = [];
  readonly #options: CallerOptions;
  readonly #connection: PeerConnection;
  readonly #channel: DataChannel;
  readonly #track: Track;
  readonly #encoder = new Encoder({ channels: 1, sample_rate: SAMPLE_RATE, application: 'voip' });
  /** Frames still to be spoken; each utterance is told when its first and last frame leave. */
  readonly #speech: { frame: Int16Array; sent?: (at: number) => void }[] = [];
  #sequenceNumber = 1000;
  #timestamp = 160_000;
  #microphone: NodeJS.Timeout | undefined;
  /** Switches the microphone off: not even silence leaves. */
  muted = false;
  #heardWaiters: (() => void)[] = [];
  readonly #ended: Promise<string>;

  private constructor(options: CallerOptions, parts: CallParts) {
    this.#options = options;
    this.#connection = parts.connection;
    this.#channel = parts.channel;
    this.#track = parts.track;
    this.answer = parts.answer;
    this.#location = parts.location;
    this.#ended = parts.ended;
    parts.received.subscribe((message) => this.#received(message));
    parts.heard.subscribe((packet) => {
      this.heard.push(packet);
      for (const wake of this.#heardWaiters.splice(0)) wake();
    });
    void this.#silenceAtEnd();
  }

  /**
   * Calls, and resolves once audio and data channel are open.
   * @throws {CallRefused} when the server does not take the offer.
   */
  static async call(options: CallerOptions): Promise<LibdatachannelCaller> {
    const caller = new LibdatachannelCaller(options, await connect(options));
    caller.#runMicrophone();
    return caller;
  }

  /** URL of the call. One whose answer was given ahead is named by `session.created`. */
  get location(): string {
    if (this.#location === null) throw new Error('the call has no name yet');
    return this.#location;
  }

  sendEvent(event: RealtimeEvent): void {
    this.#channel.sendMessage(JSON.stringify(event));
  }

  /** Says this, in real time, after what is still being said. Resolves when the last frame has left. */
  async speak(sound: Sound): Promise<Utterance> {
    const pcm = toPcm16(resample(sound, SAMPLE_RATE).samples);
    const count = Math.ceil(pcm.length / FRAME_SAMPLES);
    if (count === 0) throw new Error('nothing to say');
    const times = await Promise.all(
      Array.from({ length: count }, (_, i) => {
        const frame = new Int16Array(FRAME_SAMPLES);
        frame.set(pcm.subarray(i * FRAME_SAMPLES, (i + 1) * FRAME_SAMPLES));
        return new Promise<number>((sent) => this.#speech.push({ frame, sent }));
      }),
    );
    return { from: times[0], to: times[times.length - 1] };
  }

  /** Resolves once `condition` holds of what was heard; it is asked again after each packet. */
  async hears(condition: (heard: readonly HeardPacket[]) => boolean): Promise<void> {
    while (!condition(this.heard)) {
      await new Promise<void>((resolve) => this.#heardWaiters.push(resolve));
    }
  }

  /** The address that media goes to. */
  remoteAddress(): string {
    const pair = this.#connection.getSelectedCandidatePair();
    return pair ? `${pair.remote.address}:${pair.remote.port}` : '';
  }

  /** Ends the call as a client should, and resolves when the server has taken the connection down. */
  async hangUp(): Promise<number> {
    const response = await fetch(this.location, { method: 'DELETE', headers: authorization(this.#options) });
    return response.status;
  }

  /** Resolves with libdatachannel's last state when the connection is over, whoever ended it. */
  ended(): Promise<string> {
    return this.#ended;
  }

  /** Frees everything without telling the server. Idempotent. */
  async close(): Promise<void> {
    clearTimeout(this.#microphone);
    this.#connection.close();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #silenceAtEnd(): Promise<void> {
    await this.#ended;
    clearTimeout(this.#microphone);
    this.events.close();
  }

  #received(message: string | Buffer | ArrayBuffer): void {
    if (typeof message !== 'string') throw new Error('oai-events carries text only');
    const event = JSON.parse(message) as RealtimeEvent;
    if (typeof event['call_id'] === 'string') this.#location ??= `${new URL(this.#options.endpoint).origin}/v1/realtime/calls/${event['call_id']}`;
    this.events.put(event);
  }

  /** A clock that never drifts: each frame has its time, and a late timer sends what is due at once. */
  #runMicrophone(): void {
    const silent = new Int16Array(FRAME_SAMPLES);
    const began = performance.now();
    let frames = 0;
    const tick = (): void => {
      while (began + frames * FRAME_MS <= performance.now()) {
        const speech = this.#speech.shift();
        this.#sendFrame(speech ? this.#encoder.encode(speech.frame) : this.#options.cheapSilence ? SILENT_PACKET : this.#encoder.encode(silent));
        speech?.sent?.(performance.now());
        frames++;
      }
      this.#microphone = setTimeout(tick, began + frames * FRAME_MS - performance.now());
    };
    tick();
  }

  #sendFrame(payload: Uint8Array): void {
    const packet = buildRtp({
      payloadType: PAYLOAD_TYPE,
      marker: false,
      sequenceNumber: this.#sequenceNumber++,
      timestamp: this.#timestamp,
      ssrc: SSRC,
      payload,
    });
    this.#timestamp += FRAME_SAMPLES;
    if (this.muted) return;
    try {
      this.#track.sendMessageBinary(packet);
    } catch {
      // The other side has ended the call; the state change that says so is on its way.
    }
  }
}

/** The server refused the offer. */
export class CallRefused extends Error {
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`the offer was refused with ${status}: ${body}`);
    this.status = status;
    this.body = body;
  }
}

/**
 * What was heard as one sound, packets at the places their RTP timestamps give them, lost ones silent.
 * `arrivals[i]` is when the packet of the i-th 20 ms arrived, NaN where none did.
 */
export function decodeHeard(packets: readonly HeardPacket[]): Sound & { readonly arrivals: number[] } {
  if (packets.length === 0) return { sampleRate: SAMPLE_RATE, samples: new Float32Array(0), arrivals: [] };
  const first = packets[0].timestamp;
  const place = (packet: RtpPacket): number => Math.round(((packet.timestamp - first) | 0) / FRAME_SAMPLES);
  const ordered = packets.filter((packet) => place(packet) >= 0).sort((a, b) => place(a) - place(b));
  const frames = place(ordered[ordered.length - 1]) + 1;
  const samples = new Float32Array(frames * FRAME_SAMPLES);
  const arrivals = new Array<number>(frames).fill(Number.NaN);
  const decoder = new Decoder({ channels: 1, sample_rate: SAMPLE_RATE });
  for (const packet of ordered) {
    const bytes = decoder.decode(packet.payload).slice();
    const pcm = fromPcm16(new Int16Array(bytes.buffer, 0, bytes.length / 2));
    const at = place(packet);
    samples.set(pcm.subarray(0, samples.length - at * FRAME_SAMPLES), at * FRAME_SAMPLES);
    arrivals[at] = packet.at;
  }
  return { sampleRate: SAMPLE_RATE, samples, arrivals };
}

interface CallParts {
  readonly connection: PeerConnection;
  readonly channel: DataChannel;
  readonly track: Track;
  readonly answer: string;
  readonly location: string | null;
  readonly ended: Promise<string>;
  readonly received: Pending<string | Buffer | ArrayBuffer>;
  readonly heard: Pending<HeardPacket>;
}

async function connect(options: CallerOptions): Promise<CallParts> {
  const connection = new PeerConnection('caller', {
    iceServers: [],
    bindAddress: '127.0.0.1',
    disableAutoNegotiation: true,
  });
  try {
    const ended = new Promise<string>((resolve) => {
      connection.onStateChange((state) => {
        if (state === 'closed' || state === 'failed') resolve(state);
      });
    });
    const audio = new Audio('audio', 'SendRecv');
    audio.addOpusCodec(PAYLOAD_TYPE);
    audio.addSSRC(SSRC, 'caller', 'caller', 'microphone');
    const track = connection.addTrack(audio);
    const channel = connection.createDataChannel('oai-events');
    // Before anything can arrive: the server may greet with the first packet.
    const received = new Pending<string | Buffer | ArrayBuffer>();
    channel.onMessage((message) => received.put(message));
    const heard = new Pending<HeardPacket>();
    track.onMessage((data) => {
      const packet = readRtp(data);
      if (packet) heard.put({ ...packet, at: performance.now() });
    });
    const open = Promise.all([
      new Promise<void>((resolve) => channel.onOpen(resolve)),
      new Promise<void>((resolve) => track.onOpen(resolve)),
    ]);

    const offer = await new Promise<string>((resolve) => {
      connection.onLocalDescription((sdp) => resolve(sdp));
      connection.setLocalDescription('offer');
    });
    const response = await fetch(options.endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', ...authorization(options) },
      body: offer,
    });
    const answer = await response.text();
    if (!response.ok) throw new CallRefused(response.status, answer);
    const named = response.headers.get('Location');
    const location = named === null ? null : new URL(named, options.endpoint).href;
    connection.setRemoteDescription(answer, 'answer');
    const outcome = await Promise.race([open.then(() => 'open' as const), ended]);
    if (outcome !== 'open') throw new Error(`the connection did not come up: ${outcome}\n${answer}`);
    return { connection, channel, track, answer, location, ended, received, heard };
  } catch (error) {
    connection.close();
    throw error;
  }
}

function authorization(options: CallerOptions): Record<string, string> {
  return options.apiKey ? { Authorization: `Bearer ${options.apiKey}` } : {};
}

/** Keeps what comes before somebody listens. */
class Pending<T> {
  #kept: T[] = [];
  #listener: ((value: T) => void) | undefined;

  put(value: T): void {
    if (this.#listener) this.#listener(value);
    else this.#kept.push(value);
  }

  subscribe(listener: (value: T) => void): void {
    this.#listener = listener;
    for (const value of this.#kept.splice(0)) listener(value);
  }
}
