import type { Timeout } from '../machine.ts';
import { SctpAssociation } from '../sctp/association.ts';
import type { SctpCloseReason, SctpDump, SctpOptions, SctpOutput, SctpSendOptions } from '../sctp/association-types.ts';
import { Fifo } from '../sctp/fifo.ts';
import { DEFAULT_MAX_RECEIVE_MESSAGE_SIZE } from '../sctp/protocol-parameters.ts';
import { type ChannelParameters, DCEP_ACK, encodeOpen, Ppid, readDcep } from './dcep.ts';
import { encodeMessage, MessageAssembler } from './message-codec.ts';

/**
 * WebRTC data channels (RFC 8831, RFC 8832) on one SCTP association. A channel is the pair of streams with its id.
 *
 *   opened by us:   open() ── OPEN ─────────────────► opening ── ACK, or a first message ──► open
 *   by the peer:    OPEN ── ACK ────────────────────► open
 *   negotiated:     open() ── association established ► open
 *   closed:         close(), or the peer's reset ──► closing ── both streams reset ──► gone, the id is free again
 *
 * The DTLS client takes even ids for the channels that it opens, the server odd ones.
 */
export interface DataChannelsOptions extends SctpOptions {
  readonly role: 'dtls-server' | 'dtls-client';
}

export interface OpenChannelOptions {
  readonly label: string;
  /** Subprotocol; default none. */
  readonly protocol?: string;
  /** Default true. */
  readonly ordered?: boolean;
  readonly maxRetransmits?: number;
  /** Milliseconds. Not together with `maxRetransmits`. */
  readonly maxPacketLifeTime?: number;
  /** Both sides open the channel under the same id, and nothing is sent to say so. */
  readonly negotiated?: boolean;
  /** For negotiated channels, and only for these. */
  readonly id?: number;
}

export interface DataChannel extends ChannelParameters {
  readonly id: number;
  readonly negotiated: boolean;
}

/** Why a message of the peer was dropped. */
export type DataChannelDropReason =
  | 'malformed-dcep'
  | 'unexpected-dcep-ack'
  | 'stream-in-use'
  | 'wrong-parity'
  | 'unknown-channel'
  | 'unreadable-message';

export type DataChannelsOutput =
  | { readonly type: 'transmit'; readonly data: Uint8Array }
  /** The channel can be used. */
  | { readonly type: 'channel'; readonly channel: DataChannel; readonly origin: 'remote' | 'local' }
  | { readonly type: 'message'; readonly channelId: number; readonly data: string | Uint8Array }
  | { readonly type: 'buffered-low'; readonly channelId: number }
  | { readonly type: 'channel-closed'; readonly channelId: number }
  /** The association has ended, and with it every channel; it is the last output. */
  | { readonly type: 'closed'; readonly reason: SctpCloseReason }
  | Timeout;

export interface DataChannelsDump {
  readonly role: 'dtls-server' | 'dtls-client';
  readonly association: SctpDump;
  readonly dropped: Partial<Record<DataChannelDropReason, number>>;
  readonly channels: readonly (DataChannel & { readonly state: ChannelState; readonly bufferedAmount: number })[];
}

type ChannelState = 'opening' | 'open' | 'closing';

interface Channel {
  readonly about: DataChannel;
  readonly origin: 'remote' | 'local';
  readonly assembler: MessageAssembler;
  state: ChannelState;
  /** Streams that have been reset: ours, the peer's. */
  isOutgoingReset: boolean;
  isIncomingReset: boolean;
  /**
   * What arrives between the peer's reset and the answer to ours belongs to the next channel of this id: the peer has
   * seen both resets and opens anew, while its answer to ours was lost.
   */
  readonly early: { readonly ppid: number; readonly data: Uint8Array }[];
}

const MAX_CHANNEL_ID = 65_534;
const MAX_EARLY_MESSAGES = 16;
const RELIABLE: SctpSendOptions = { ordered: true };

export class DataChannels {
  readonly dropped: Partial<Record<DataChannelDropReason, number>> = {};
  readonly #association: SctpAssociation;
  readonly #role: 'dtls-server' | 'dtls-client';
  readonly #maxReceiveMessageSize: number;
  readonly #channels = new Map<number, Channel>();
  readonly #events = new Fifo<DataChannelsOutput>();
  #isEstablished = false;
  #now: number;

  constructor(options: DataChannelsOptions) {
    this.#role = options.role;
    this.#now = options.now;
    this.#maxReceiveMessageSize = options.maxReceiveMessageSize ?? DEFAULT_MAX_RECEIVE_MESSAGE_SIZE;
    this.#association = new SctpAssociation(options);
  }

  /** Begins the set-up of the association, once DTLS is connected. Both sides may. */
  connect(now: number): void {
    this.#now = now;
    this.#association.connect(now);
  }

  /** Takes the payload of one DTLS record. */
  handlePacket(data: Uint8Array, now: number): void {
    this.#now = now;
    this.#association.handlePacket(data, now);
  }

  /** See `SctpAssociation.hurry`. */
  hurry(roundTripTime: number | null, at: number): void {
    this.#association.hurry(roundTripTime, at);
  }

  handleTimeout(now: number): void {
    this.#now = now;
    this.#association.handleTimeout(now);
  }

  /**
   * Opens a channel and returns its id. Messages may be sent at once; `channel` tells that the peer has taken it.
   * @throws {TypeError} when options contradict each other, or the association is closed or shutting down.
   * @throws {RangeError} when the id is taken or out of range, no id is free, or label or protocol is too long.
   */
  open(options: OpenChannelOptions, now: number): number {
    this.#now = now;
    const about = this.#describe(options);
    const { id } = about;
    if (!about.negotiated) this.#association.send(id, Ppid.control, encodeOpen(about), RELIABLE, now);
    this.#channels.set(id, this.#newChannel(about, 'local'));
    if (about.negotiated && this.#isEstablished) this.#openedByAgreement(this.#channels.get(id)!);
    return id;
  }

  /**
   * Sends a string or bytes (copied).
   * @throws {TypeError} when the channel does not exist or is closing, or the association is closed or shutting down.
   * @throws {RangeError} when the message is larger than the peer takes.
   */
  send(channelId: number, data: string | Uint8Array, now: number): void {
    this.#now = now;
    const channel = this.#channels.get(channelId);
    if (channel === undefined || channel.state === 'closing') throw new TypeError(`channel ${channelId} is not open`);
    const { ppid, data: bytes } = encodeMessage(data);
    this.#association.send(channelId, ppid, bytes, sendOptions(channel), now);
  }

  /** Whether `send` would take a message for this channel. */
  isOpen(channelId: number): boolean {
    const channel = this.#channels.get(channelId);
    return channel !== undefined && channel.state !== 'closing';
  }

  /** Closes a channel once all that was sent on it has left; idempotent. `channel-closed` tells the end. */
  close(channelId: number, now: number): void {
    this.#now = now;
    const channel = this.#channels.get(channelId);
    if (channel === undefined || channel.state === 'closing') return;
    channel.state = 'closing';
    if (this.#isEstablished) this.#association.resetStream(channelId, now);
  }

  /** Ends the association gracefully, once all queued messages have been delivered. */
  shutdown(now: number): void {
    this.#now = now;
    this.#association.shutdown(now);
  }

  /** Ends the association at once. `reason` is for the peer's log. */
  abort(reason: string, now: number): void {
    this.#now = now;
    this.#association.abort(reason, now);
  }

  /** User data on a channel that waits for its first transmission, bytes. */
  bufferedAmount(channelId: number): number {
    return this.#association.bufferedAmount(channelId);
  }

  poll(): DataChannelsOutput {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      const output = this.#association.poll();
      if (output.type === 'transmit' || output.type === 'timeout') return output;
      this.#handleOutput(output);
    }
  }

  dump(): DataChannelsDump {
    return {
      role: this.#role,
      association: this.#association.dump(),
      dropped: { ...this.dropped },
      channels: [...this.#channels.values()].map(({ about, state }) => ({
        ...about,
        state,
        bufferedAmount: this.bufferedAmount(about.id),
      })),
    };
  }

  #handleOutput(output: Exclude<SctpOutput, { type: 'transmit' | 'timeout' }>): void {
    switch (output.type) {
      case 'established':
        this.#established();
        break;
      case 'restarted':
        this.#forgetChannels();
        break;
      case 'message':
        this.#handleMessage(output.streamId, output.ppid, output.data);
        break;
      case 'stream-reset':
        this.#handleReset(output.streamId, output.direction, output.performed);
        break;
      case 'buffered-low':
        if (this.#channels.has(output.streamId)) this.#events.push({ type: 'buffered-low', channelId: output.streamId });
        break;
      case 'closed':
        this.#isEstablished = false;
        this.#forgetChannels();
        this.#events.push(output);
        break;
    }
  }

  #established(): void {
    this.#isEstablished = true;
    for (const channel of this.#channels.values()) {
      if (channel.state === 'closing') this.#association.resetStream(channel.about.id, this.#now);
      else if (channel.about.negotiated) this.#openedByAgreement(channel);
    }
  }

  /** A peer with fewer streams than the id needs has no such channel. */
  #openedByAgreement(channel: Channel): void {
    const { id } = channel.about;
    if (id < this.#association.outboundStreams) return this.#opened(channel);
    this.#channels.delete(id);
    this.#events.push({ type: 'channel-closed', channelId: id });
  }

  #forgetChannels(): void {
    for (const channelId of this.#channels.keys()) this.#events.push({ type: 'channel-closed', channelId });
    this.#channels.clear();
  }

  #opened(channel: Channel): void {
    if (channel.state !== 'opening') return;
    channel.state = 'open';
    this.#events.push({ type: 'channel', channel: channel.about, origin: channel.origin });
  }

  #handleMessage(id: number, ppid: number, data: Uint8Array): void {
    const channel = this.#channels.get(id);
    if (channel?.isIncomingReset) {
      if (channel.early.length < MAX_EARLY_MESSAGES) channel.early.push({ ppid, data });
      else this.#drop('stream-in-use');
      return;
    }
    if (ppid === Ppid.control) return this.#handleControl(id, data);
    if (channel === undefined) return this.#drop('unknown-channel');
    const message = channel.assembler.add(ppid, data);
    if (message === null) return this.#drop('unreadable-message');
    // A message in answer to OPEN says as much as the ACK that follows it.
    this.#opened(channel);
    if (message !== undefined) this.#events.push({ type: 'message', channelId: id, data: message });
  }

  #handleControl(id: number, data: Uint8Array): void {
    const message = readDcep(data);
    if (message === null) return this.#drop('malformed-dcep');
    const channel = this.#channels.get(id);
    if (message.type === 'ack') {
      if (channel === undefined || channel.origin === 'remote') this.#drop('unexpected-dcep-ack');
      else this.#opened(channel);
      return;
    }
    if (channel !== undefined) {
      this.#drop('stream-in-use');
      this.close(id, this.#now);
      return;
    }
    if (id % 2 === firstId(this.#role)) {
      this.#drop('wrong-parity');
      this.#association.resetStream(id, this.#now);
      return;
    }
    this.#accept({ ...message.parameters, id, negotiated: false });
  }

  #accept(about: DataChannel): void {
    const channel = this.#newChannel(about, 'remote');
    this.#channels.set(about.id, channel);
    try {
      this.#association.send(about.id, Ppid.control, DCEP_ACK, RELIABLE, this.#now);
    } catch {
      // The association is shutting down: the channel can still be read.
    }
    this.#opened(channel);
  }

  #handleReset(id: number, direction: 'outgoing' | 'incoming', performed: boolean): void {
    const channel = this.#channels.get(id);
    if (channel === undefined) return;
    if (direction === 'incoming') {
      channel.isIncomingReset = true;
      this.close(id, this.#now);
    } else {
      channel.isOutgoingReset = true;
      // A peer that cannot reset streams will not reset its own either.
      if (!performed) channel.isIncomingReset = true;
    }
    if (!channel.isOutgoingReset || !channel.isIncomingReset) return;
    this.#channels.delete(id);
    this.#events.push({ type: 'channel-closed', channelId: id });
    for (const { ppid, data } of channel.early) this.#handleMessage(id, ppid, data);
  }

  #describe(options: OpenChannelOptions): DataChannel {
    const { negotiated = false, maxRetransmits, maxPacketLifeTime } = options;
    if (maxRetransmits !== undefined && maxPacketLifeTime !== undefined) {
      throw new TypeError('give either maxRetransmits or maxPacketLifeTime');
    }
    if (negotiated !== (options.id !== undefined)) throw new TypeError('a negotiated channel, and no other, needs an id');
    const id = options.id ?? this.#freeId();
    if (!Number.isInteger(id) || id < 0 || id > MAX_CHANNEL_ID) throw new RangeError(`${id} is no channel id`);
    if (this.#channels.has(id)) throw new RangeError(`channel ${id} is in use`);
    return {
      id,
      label: options.label,
      protocol: options.protocol ?? '',
      ordered: options.ordered ?? true,
      maxRetransmits: maxRetransmits ?? null,
      maxPacketLifeTime: maxPacketLifeTime ?? null,
      negotiated,
    };
  }

  #freeId(): number {
    for (let id = firstId(this.#role); id <= MAX_CHANNEL_ID; id += 2) if (!this.#channels.has(id)) return id;
    throw new RangeError('all channel ids are in use');
  }

  #newChannel(about: DataChannel, origin: 'remote' | 'local'): Channel {
    const assembler = new MessageAssembler(this.#maxReceiveMessageSize);
    return { about, origin, assembler, state: 'opening', early: [], isOutgoingReset: false, isIncomingReset: false };
  }

  #drop(reason: DataChannelDropReason): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
  }
}

/** The parity of the ids that a role gives. */
function firstId(role: 'dtls-server' | 'dtls-client'): 0 | 1 {
  return role === 'dtls-client' ? 0 : 1;
}

/** Until the peer has taken the channel everything is sent in order, behind the OPEN (RFC 8832, section 6). */
function sendOptions(channel: Channel): SctpSendOptions {
  const { ordered, maxRetransmits, maxPacketLifeTime, negotiated } = channel.about;
  return {
    ordered: ordered || (channel.state === 'opening' && !negotiated),
    ...(maxRetransmits !== null && { maxRetransmits }),
    ...(maxPacketLifeTime !== null && { maxLifetime: maxPacketLifeTime }),
  };
}
