/**
 * One voice call over the Realtime protocol's WebRTC flow. Knows nothing of the page: it says what happens in events.
 *
 *   microphone ─► offer ──POST──► answer ─► ICE ─► DTLS ─► data channel `oai-events` ─► audio
 *                                                                          hang up ──DELETE──► Location
 *   ahead:  offer ──POST ?instant──► answer     and then:  microphone ─► ICE ─► …   (docs/instant-connect.md)
 *   connection lost ─► ICE restart ──PATCH──► fragment ─► ICE …  (until RECONNECT_LIMIT, then the call ends)
 *
 * @typedef {'idle' | 'microphone' | 'connecting' | 'live' | 'reconnecting' | 'ended'} CallState
 * @typedef {'microphone' | 'answer' | 'ice' | 'dtls' | 'channel' | 'audio'} StepName
 *
 * @typedef {object} Step One part of the set-up.
 * @property {StepName} name
 * @property {number} start milliseconds since the call began
 * @property {number | null} end null while it goes on
 *
 * @typedef {object} CallEvents What the events carry, by type.
 * @property {{ state: CallState, failure: CallFailure | null }} state
 *   `ended` comes exactly once; its failure is null after a hang-up
 * @property {readonly Step[]} steps the set-up so far, at each change of it
 * @property {MediaStream} microphone ready to be metered
 * @property {MediaStream} agent ready to be metered and played
 * @property {{ event: { type?: unknown }, at: number }} message
 *   an event from the data channel, `at` milliseconds since the call began
 * @property {import('./network.js').NetworkFigures} network once a second while live
 *
 * @typedef {object} CallOptions
 * @property {URL} endpoint where offers are posted
 * @property {string} [apiKey]
 */
import { CallFailure, connectionLost, endedByServer, microphoneFailure, missingCapability, notConnected } from './failure.js';
import { answerWith, fragmentOf } from './ice-restart.js';
import { NetworkMonitor } from './network.js';
import { EVENTS_CHANNEL, Signaling } from './signaling.js';

/** Milliseconds. */
const CONNECT_LIMIT = 15_000;
/** With an answer ahead that does not come, or that nobody takes, an ordinary call is placed after this. */
const AHEAD_LIMIT = 1_500;
const RECONNECT_LIMIT = 20_000;
const RECONNECT_PAUSE = 2_000;
const FIRST_AUDIO_PROBE = 20;

/** The steps of the set-up that follow one another, each beginning where the one before ends. @type {StepName[]} */
const NETWORK_STEPS = ['answer', 'ice', 'dtls', 'channel'];

/** Dispatches CustomEvents; {@link CallEvents} has their types and details. */
export class Call extends EventTarget {
  /** @type {CallState} */
  #state = 'idle';
  #signaling;
  #began = 0;
  /** @type {Step[]} */
  #steps = [];
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** Of the connection. @type {RTCRtpSender | null} */
  #sender = null;
  /** What was asked for ahead. @type {Promise<{ answer: string, expiresAt: number } | null> | null} */
  #ahead = null;
  /** An answer ahead is being tried: if it fails, another follows. */
  #trying = false;
  /** @type {MediaStream | null} */
  #microphone = null;
  /** @type {NetworkMonitor | null} */
  #monitor = null;
  /** The channel that carries the events. @type {RTCDataChannel | null} */
  #channel = null;
  #outages = 0;
  /** Timers that must not outlive the call. */
  #connectTimer = 0;
  #audioTimer = 0;

  /**
   * @param {CallOptions} options
   */
  constructor({ endpoint, apiKey }) {
    super();
    this.#signaling = new Signaling(endpoint, apiKey);
  }

  get state() {
    return this.#state;
  }

  /**
   * @template {keyof CallEvents} K
   * @param {K} type
   * @param {(detail: CallEvents[K]) => void} handler
   */
  on(type, handler) {
    this.addEventListener(type, (event) => handler(/** @type {CustomEvent<CallEvents[K]>} */ (event).detail));
  }

  /**
   * Asks for the answer ahead, so that {@link start} begins without a request. Nobody need know when none is to be had:
   * the call is then an ordinary one.
   */
  async prepare() {
    if (missingCapability()) return;
    const connection = this.#openConnection();
    this.#ahead = connection.setLocalDescription().then(
      () => this.#signaling.ask(connection.localDescription?.sdp ?? ''),
      () => null,
    );
    await this.#ahead;
  }

  /** Brings the call up. Never rejects: a failure is the `ended` state. */
  async start() {
    this.#began = performance.now();
    try {
      await this.#setUp();
    } catch (error) {
      const unexpected = () =>
        new CallFailure('server-error', 'The call could not be set up.', error instanceof Error ? error.message : '', error);
      this.#end(error instanceof CallFailure ? error : unexpected());
    }
  }

  /** Ends the call, also one that is still being set up. Idempotent. */
  hangUp() {
    this.#end(null);
  }

  async #setUp() {
    const missing = missingCapability();
    if (missing) throw missing;
    this.#enter('microphone');
    // Before the microphone: while a person reads the prompt, the browser makes the connection's certificate.
    const prepared = this.#connection ?? this.#openConnection();
    const microphone = await this.#openMicrophone();
    if (this.#ended) {
      stopTracks(microphone);
      return;
    }
    this.#takeMicrophone(microphone);
    this.#enter('connecting');
    this.#beginStep('answer');
    await this.#sender?.replaceTrack(microphone.getAudioTracks()[0]);
    if (this.#ended || (await this.#tryAhead(prepared, microphone))) return;
    // An offer is for one answer; one that has got none is as good as new.
    const connection = prepared.signalingState === 'closed' ? this.#openConnection() : prepared;
    if (connection !== prepared) await this.#sender?.replaceTrack(microphone.getAudioTracks()[0]);
    if (connection.signalingState === 'stable') await connection.setLocalDescription();
    if (this.#ended) return;
    const answering = this.#signaling.place(connection.localDescription?.sdp ?? '');
    // Only now: what listeners do with it must not hold up the offer.
    this.#emit('microphone', microphone);
    const { answer, channelAgreed } = await answering;
    if (this.#ended) {
      this.#signaling.hangUp();
      return;
    }
    if (!channelAgreed) this.#openChannel(connection, {});
    this.#connectTimer = setTimeout(() => this.#end(notConnected()), CONNECT_LIMIT);
    await this.#accept(connection, answer);
  }

  /**
   * Begins with the answer that was asked for ahead, if there is a good one.
   * @param {RTCPeerConnection} connection closed when its answer has turned out to be of no use
   * @param {MediaStream} microphone
   * @returns {Promise<boolean>} whether there is nothing more to do
   */
  async #tryAhead(connection, microphone) {
    const ahead = await Promise.race([this.#ahead, after(AHEAD_LIMIT)]);
    if (this.#ended) return true;
    if (!ahead || !(Date.now() < ahead.expiresAt)) return false;
    this.#trying = true;
    await this.#accept(connection, ahead.answer);
    this.#emit('microphone', microphone);
    const connected = await untilConnected(connection, AHEAD_LIMIT);
    this.#trying = false;
    if (this.#ended) return true;
    if (!connected) {
      this.#channel = null;
      connection.close();
      return false;
    }
    this.#connectTimer = setTimeout(() => this.#end(notConnected()), CONNECT_LIMIT);
    return true;
  }

  /**
   * @param {RTCPeerConnection} connection
   * @param {string} answer SDP
   */
  async #accept(connection, answer) {
    this.#reach('answer');
    await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    // Tells the end of DTLS at once; the connection's own state comes later, often after the data channel has opened.
    const dtls = connection.sctp?.transport;
    dtls?.addEventListener('statechange', () => {
      if (dtls.state === 'connected') this.#reach('dtls');
    });
  }

  async #openMicrophone() {
    this.#beginStep('microphone');
    try {
      return await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch (error) {
      throw microphoneFailure(error);
    } finally {
      this.#endStep('microphone');
    }
  }

  #openConnection() {
    const connection = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    this.#connection = connection;
    connection.addEventListener('track', ({ track, receiver }) => {
      this.#emit('agent', new MediaStream([track]));
      this.#awaitFirstAudio(receiver);
    });
    connection.addEventListener('iceconnectionstatechange', () => {
      if (connection.iceConnectionState === 'connected') this.#reach('ice');
    });
    connection.addEventListener('connectionstatechange', () => {
      if (connection === this.#connection) this.#connectionChanged(connection.connectionState);
    });
    // A place for the microphone, which may come later.
    this.#sender = connection.addTransceiver('audio', { direction: 'sendrecv' }).sender;
    this.#openChannel(connection, { negotiated: true, id: EVENTS_CHANNEL });
    return connection;
  }

  /**
   * Opens the channel for events; one that was opened before is not listened to any more.
   * @param {RTCPeerConnection} connection
   * @param {RTCDataChannelInit} options
   */
  #openChannel(connection, options) {
    const channel = connection.createDataChannel('oai-events', options);
    this.#channel?.close();
    this.#channel = channel;
    const isCurrent = () => this.#channel === channel;
    channel.addEventListener('open', () => isCurrent() && this.#channelOpened());
    channel.addEventListener('message', ({ data }) => isCurrent() && this.#received(data));
    channel.addEventListener('close', () => isCurrent() && this.#end(endedByServer()));
  }

  /**
   * @param {MediaStream} microphone
   */
  #takeMicrophone(microphone) {
    this.#microphone = microphone;
    microphone.getAudioTracks()[0].addEventListener('ended', () => this.#end(microphoneFailure(null)));
  }

  #channelOpened() {
    clearTimeout(this.#connectTimer);
    this.#reach('channel');
    this.#enter('live');
    if (this.#connection) {
      this.#monitor = new NetworkMonitor(this.#connection, (figures) => this.#emit('network', figures));
    }
  }

  /**
   * @param {RTCPeerConnectionState} state
   */
  #connectionChanged(state) {
    if (state === 'connected') {
      if (this.#state === 'reconnecting') {
        this.#enter('live');
        return;
      }
      this.#reach('dtls');
    } else if (state === 'disconnected' || state === 'failed') {
      if (this.#state === 'live') void this.#reconnect();
      else if (this.#state === 'connecting' && state === 'failed' && !this.#trying) this.#end(notConnected());
    }
  }

  /** Tries ICE restarts until one holds, the server no longer knows the call, or the time is up. */
  async #reconnect() {
    this.#enter('reconnecting');
    const outage = ++this.#outages;
    // Not only the state: by the end of a pause the call may have come back and been lost again.
    const lasts = () => this.#state === 'reconnecting' && this.#outages === outage;
    const giveUp = performance.now() + RECONNECT_LIMIT;
    while (lasts()) {
      const known = await this.#restartIce();
      if (!lasts()) return;
      if (!known || performance.now() > giveUp) {
        this.#end(connectionLost());
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_PAUSE));
    }
  }

  /**
   * One ICE restart. False when the server has said that there is no such call any more.
   * @returns {Promise<boolean>}
   */
  async #restartIce() {
    const connection = this.#connection;
    if (!connection || !this.#signaling.isNamed) return false;
    try {
      if (connection.signalingState === 'have-local-offer') await connection.setLocalDescription({ type: 'rollback' });
      connection.restartIce();
      await connection.setLocalDescription();
      const { known, fragment } = await this.#signaling.restartIce(fragmentOf(connection.localDescription?.sdp ?? ''));
      if (fragment === null) return known;
      const answer = answerWith(connection.remoteDescription?.sdp ?? '', fragment);
      await connection.setRemoteDescription({ type: 'answer', sdp: answer });
      return true;
    } catch {
      // The network is away, or the connection was closed meanwhile: the caller looks at the state and the clock.
      return true;
    }
  }

  /**
   * @param {unknown} data
   */
  #received(data) {
    if (typeof data !== 'string') return;
    let event;
    try {
      event = JSON.parse(data);
    } catch {
      event = { type: '(not JSON)', data };
    }
    // A call that began with an answer ahead learns its name here.
    if (event?.type === 'session.created' && typeof event.call_id === 'string') {
      this.#signaling.name(event.call_id);
    }
    this.#emit('message', { event, at: this.#elapsed() });
  }

  /**
   * No event says that the first sound has arrived, so ask the receiver until it names a source.
   * @param {RTCRtpReceiver} receiver
   */
  #awaitFirstAudio(receiver) {
    clearInterval(this.#audioTimer);
    this.#audioTimer = setInterval(() => {
      if (receiver.getSynchronizationSources().length === 0) return;
      clearInterval(this.#audioTimer);
      this.#reach('dtls');
      this.#endStep('audio');
    }, FIRST_AUDIO_PROBE);
  }

  /**
   * @param {CallFailure | null} failure
   */
  #end(failure) {
    if (this.#ended) return;
    this.#state = 'ended';
    clearTimeout(this.#connectTimer);
    clearInterval(this.#audioTimer);
    this.#monitor?.stop();
    this.#signaling.hangUp();
    this.#connection?.close();
    if (this.#microphone) stopTracks(this.#microphone);
    this.#emit('state', { state: 'ended', failure });
  }

  get #ended() {
    return this.#state === 'ended';
  }

  /**
   * @param {CallState} state
   */
  #enter(state) {
    if (this.#ended) return;
    this.#state = state;
    this.#emit('state', { state, failure: null });
  }

  /**
   * This network step is done, and so are those before it: browsers do not keep the order when they tell. A data
   * channel, for one, may open before its connection says that it is connected.
   * @param {StepName} name
   */
  #reach(name) {
    const last = NETWORK_STEPS.indexOf(name);
    for (const done of NETWORK_STEPS.slice(0, last + 1)) {
      this.#beginStep(done);
      this.#endStep(done);
    }
    if (last + 1 < NETWORK_STEPS.length) this.#beginStep(NETWORK_STEPS[last + 1]);
    if (last >= NETWORK_STEPS.indexOf('dtls')) this.#beginStep('audio');
  }

  /**
   * @param {StepName} name
   */
  #beginStep(name) {
    if (this.#steps.some((step) => step.name === name)) return;
    this.#steps.push({ name, start: this.#elapsed(), end: null });
    this.#emit('steps', this.#steps);
  }

  /**
   * @param {StepName} name
   */
  #endStep(name) {
    const step = this.#steps.find((step) => step.name === name);
    if (!step || step.end !== null) return;
    step.end = this.#elapsed();
    this.#emit('steps', this.#steps);
  }

  #elapsed() {
    return performance.now() - this.#began;
  }

  /**
   * @template {keyof CallEvents} K
   * @param {K} type
   * @param {CallEvents[K]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * @param {number} milliseconds
 * @returns {Promise<null>}
 */
function after(milliseconds) {
  return new Promise((resolve) => setTimeout(() => resolve(null), milliseconds));
}

/**
 * @param {RTCPeerConnection} connection
 * @param {number} limit milliseconds
 * @returns {Promise<boolean>} whether ICE has found a way
 */
function untilConnected(connection, limit) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limit);
    const look = () => {
      const state = connection.iceConnectionState;
      if (state === 'new' || state === 'checking') return;
      clearTimeout(timer);
      resolve(state === 'connected' || state === 'completed');
    };
    connection.addEventListener('iceconnectionstatechange', look);
    look();
  });
}

/**
 * @param {MediaStream} stream
 */
function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
