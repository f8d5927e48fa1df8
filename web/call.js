/**
 * One voice call over the Realtime protocol's WebRTC flow. Knows nothing of the page: it says what happens in events.
 *
 *   microphone ─► offer ──POST──► answer ─► ICE ─► DTLS ─► data channel `oai-events` ─► audio
 *                                                                          hang up ──DELETE──► Location
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
import { CallFailure, microphoneFailure, missingCapability, refusal, serverAway } from './failure.js';
import { answerWith, fragmentOf } from './ice-restart.js';
import { NetworkMonitor } from './network.js';

/** Milliseconds. */
const ANSWER_LIMIT = 10_000;
const CONNECT_LIMIT = 15_000;
const RECONNECT_LIMIT = 20_000;
const RECONNECT_PAUSE = 2_000;
const FIRST_AUDIO_PROBE = 20;

/**
 * Id of the data channel for events: agreed with the offer (`?dcid`), so that nothing has to announce it and the first
 * event comes a round trip sooner. An odd one, which no browser takes by itself here.
 */
const EVENTS_CHANNEL = 1;

/** The steps of the set-up that follow one another, each beginning where the one before ends. @type {StepName[]} */
const NETWORK_STEPS = ['answer', 'ice', 'dtls', 'channel'];

/** Dispatches CustomEvents; {@link CallEvents} has their types and details. */
export class Call extends EventTarget {
  /** @type {CallState} */
  #state = 'idle';
  #endpoint;
  #apiKey;
  #began = 0;
  /** @type {Step[]} */
  #steps = [];
  /** @type {RTCPeerConnection | null} */
  #connection = null;
  /** @type {MediaStream | null} */
  #microphone = null;
  /** @type {NetworkMonitor | null} */
  #monitor = null;
  /** @type {URL | null} */
  #location = null;
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
    this.#endpoint = endpoint;
    this.#apiKey = apiKey;
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
    const connection = this.#openConnection();
    const microphone = await this.#openMicrophone();
    if (this.#ended) {
      stopTracks(microphone);
      return;
    }
    this.#enter('connecting');
    this.#beginStep('answer');
    this.#addMicrophone(connection, microphone);
    await connection.setLocalDescription();
    if (this.#ended) return;
    const answering = this.#postOffer(connection.localDescription?.sdp ?? '');
    // Only now: what listeners do with it must not hold up the offer.
    this.#emit('microphone', microphone);
    const answer = await answering;
    if (this.#ended) {
      this.#deleteCall();
      return;
    }
    this.#connectTimer = setTimeout(() => this.#end(notConnected()), CONNECT_LIMIT);
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
    connection.addEventListener('connectionstatechange', () => this.#connectionChanged(connection.connectionState));
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
   * @param {RTCPeerConnection} connection
   * @param {MediaStream} microphone
   */
  #addMicrophone(connection, microphone) {
    this.#microphone = microphone;
    const [track] = microphone.getAudioTracks();
    connection.addTrack(track, microphone);
    track.addEventListener('ended', () => this.#end(microphoneFailure(null)));
  }

  /**
   * Posts the offer as it is, before any candidate is gathered: a server with one public port needs none.
   * @param {string} offer
   */
  async #postOffer(offer) {
    let response;
    try {
      response = await fetch(withChannel(this.#endpoint), {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp', ...this.#authorization() },
        body: offer,
        signal: AbortSignal.timeout(ANSWER_LIMIT),
      });
    } catch (error) {
      throw serverAway(error);
    }
    if (!response.ok) throw await refusal(response, Boolean(this.#apiKey));
    const location = response.headers.get('Location');
    if (location) this.#location = new URL(location, response.url);
    // A server that has not heard of agreed channels waits for one to be announced.
    const agreed = response.headers.get('Earshot-Events-Channel') === String(EVENTS_CHANNEL);
    if (!agreed && this.#connection && !this.#ended) this.#openChannel(this.#connection, {});
    return response.text();
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
      else if (this.#state === 'connecting' && state === 'failed') this.#end(notConnected());
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
    if (!connection || !this.#location) return false;
    try {
      if (connection.signalingState === 'have-local-offer') await connection.setLocalDescription({ type: 'rollback' });
      connection.restartIce();
      await connection.setLocalDescription();
      const response = await fetch(this.#location, {
        method: 'PATCH',
        headers: {
          'Content-Type': 'application/trickle-ice-sdpfrag',
          // Whatever the ICE session is by now, replace it (RFC 9725, section 4.3.3).
          'If-Match': '*',
          ...this.#authorization(),
        },
        body: fragmentOf(connection.localDescription?.sdp ?? ''),
        signal: AbortSignal.timeout(ANSWER_LIMIT),
      });
      if (response.status === 404 || response.status === 410) return false;
      if (!response.ok) return true;
      const answer = answerWith(connection.remoteDescription?.sdp ?? '', await response.text());
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
    this.#emit('message', { event, at: this.#elapsed() });
  }

  /**
   * No event says that the first sound has arrived, so ask the receiver until it names a source.
   * @param {RTCRtpReceiver} receiver
   */
  #awaitFirstAudio(receiver) {
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
    this.#deleteCall();
    this.#connection?.close();
    if (this.#microphone) stopTracks(this.#microphone);
    this.#emit('state', { state: 'ended', failure });
  }

  /** `keepalive` lets it reach the server although the page is going away. */
  #deleteCall() {
    if (!this.#location) return;
    const request = fetch(this.#location, { method: 'DELETE', headers: this.#authorization(), keepalive: true });
    // Nobody is left to tell; the server also ends calls that have gone silent.
    request.catch(() => undefined);
    this.#location = null;
  }

  get #ended() {
    return this.#state === 'ended';
  }

  /** @returns {Record<string, string>} */
  #authorization() {
    return this.#apiKey ? { Authorization: `Bearer ${this.#apiKey}` } : {};
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
 * @param {URL} endpoint
 */
function withChannel(endpoint) {
  const url = new URL(endpoint);
  url.searchParams.set('dcid', String(EVENTS_CHANNEL));
  return url;
}

function notConnected() {
  return new CallFailure(
    'not-connected',
    'The server answered, but no connection came up.',
    'A firewall may block UDP between you and the server. Try another network.',
  );
}

function connectionLost() {
  return new CallFailure(
    'connection-lost',
    'The call was lost.',
    'The connection went away and could not be restored. Press Talk to call again.',
  );
}

function endedByServer() {
  return new CallFailure('ended-by-server', 'The other side ended the call.', 'Press Talk to call again.');
}

/**
 * @param {MediaStream} stream
 */
function stopTracks(stream) {
  for (const track of stream.getTracks()) track.stop();
}
