/**
 * How good the connection is, read once a second from the peer connection's statistics.
 *
 * @typedef {object} NetworkFigures
 * @property {number | null} roundTrip milliseconds
 * @property {number | null} loss share of packets lost since the last reading, the worse direction, 0 to 1
 * @property {number | null} jitter milliseconds, of what arrives here
 */

export class NetworkMonitor {
  #connection;
  #onFigures;
  #timer = 0;
  #received = 0;
  #lost = 0;

  /**
   * @param {RTCPeerConnection} connection
   * @param {(figures: NetworkFigures) => void} onFigures
   */
  constructor(connection, onFigures) {
    this.#connection = connection;
    this.#onFigures = onFigures;
    this.#timer = setInterval(() => void this.#read(), 1000);
  }

  /** Idempotent. No figures come after it. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  async #read() {
    const report = await this.#connection.getStats();
    if (this.#timer === 0) return;
    /** @type {NetworkFigures} */
    const figures = { roundTrip: null, loss: null, jitter: null };
    for (const entry of report.values()) {
      if (entry.type === 'candidate-pair' && entry.nominated && entry.currentRoundTripTime !== undefined) {
        figures.roundTrip ??= entry.currentRoundTripTime * 1000;
      } else if (entry.type === 'remote-inbound-rtp') {
        // Measured on the media itself, so better than the pair's, which is only renewed by STUN checks.
        if (entry.roundTripTime > 0) figures.roundTrip = entry.roundTripTime * 1000;
        if (entry.fractionLost !== undefined) figures.loss = Math.max(figures.loss ?? 0, entry.fractionLost);
      } else if (entry.type === 'inbound-rtp') {
        const received = entry.packetsReceived - this.#received;
        const lost = Math.max(0, entry.packetsLost - this.#lost);
        this.#received = entry.packetsReceived;
        this.#lost = entry.packetsLost;
        if (received + lost > 0) figures.loss = Math.max(figures.loss ?? 0, lost / (received + lost));
        if (entry.packetsReceived > 0) figures.jitter = entry.jitter * 1000;
      }
    }
    this.#onFigures(figures);
  }
}
