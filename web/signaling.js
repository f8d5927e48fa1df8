/**
 * The requests of one call: the Realtime API over HTTP.
 *
 *   POST endpoint, offer ─► 201 answer, Location        PATCH Location, fragment ─► 200 fragment
 *   POST endpoint?instant ─► 200 answer, Expires        DELETE Location
 */
import { refusal, serverAway } from './failure.js';

/** Milliseconds. */
const ANSWER_LIMIT = 10_000;

/**
 * Id of the data channel for events: agreed with the offer (`?dcid`), so that nothing has to announce it and the first
 * event comes a round trip sooner. An odd one, which no browser takes by itself here.
 */
export const EVENTS_CHANNEL = 1;

export class Signaling {
  #endpoint;
  #apiKey;
  /** The call, once it has a name. @type {URL | null} */
  #location = null;

  /**
   * @param {URL} endpoint where offers are posted
   * @param {string} [apiKey]
   */
  constructor(endpoint, apiKey) {
    this.#endpoint = endpoint;
    this.#apiKey = apiKey;
  }

  /** Whether there is a call to be restarted or ended. */
  get isNamed() {
    return this.#location !== null;
  }

  /**
   * Names a call that began with an answer ahead.
   * @param {string} id
   */
  name(id) {
    this.#location ??= new URL(`${this.#endpoint.pathname}/${id}`, this.#endpoint);
  }

  /**
   * Places a call.
   * @param {string} offer SDP
   * @returns {Promise<{ answer: string, channelAgreed: boolean }>} a server that has not heard of agreed channels waits
   *   for one to be announced
   * @throws {import('./failure.js').CallFailure}
   */
  async place(offer) {
    let response;
    try {
      response = await this.#post(offer, false);
    } catch (error) {
      throw serverAway(error);
    }
    if (!response.ok) throw await refusal(response, Boolean(this.#apiKey));
    this.#location = locationIn(response);
    const channelAgreed = response.headers.get('Earshot-Events-Channel') === String(EVENTS_CHANNEL);
    return { answer: await response.text(), channelAgreed };
  }

  /**
   * Asks for an answer ahead of the call.
   * @param {string} offer SDP
   * @returns {Promise<{ answer: string, expiresAt: number } | null>} Unix milliseconds; null when none is to be had
   */
  async ask(offer) {
    try {
      const response = await this.#post(offer, true);
      if (response.status === 200) return { answer: await response.text(), expiresAt: Date.parse(response.headers.get('Expires') ?? '') };
      // A server that has not heard of it has placed the call, which is of no use yet.
      this.#delete(locationIn(response));
    } catch {
      // The call itself will say what is wrong.
    }
    return null;
  }

  /**
   * Restarts ICE, whatever the ICE session is by now (RFC 9725, section 4.3.3).
   * @param {string} fragment SDP
   * @returns {Promise<{ known: boolean, fragment: string | null }>} whether there is such a call, and the server's fragment
   */
  async restartIce(fragment) {
    if (!this.#location) return { known: false, fragment: null };
    const response = await fetch(this.#location, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*', ...this.#authorization() },
      body: fragment,
      signal: AbortSignal.timeout(ANSWER_LIMIT),
    });
    const known = response.status !== 404 && response.status !== 410;
    return { known, fragment: response.ok ? await response.text() : null };
  }

  hangUp() {
    this.#delete(this.#location);
    this.#location = null;
  }

  /**
   * `keepalive` lets it reach the server although the page is going away.
   * @param {URL | null} location
   */
  #delete(location) {
    if (!location) return;
    const request = fetch(location, { method: 'DELETE', headers: this.#authorization(), keepalive: true });
    // Nobody is left to tell; the server also ends calls that have gone silent.
    request.catch(() => undefined);
  }

  /**
   * @param {string} offer
   * @param {boolean} ahead
   */
  #post(offer, ahead) {
    const url = new URL(this.#endpoint);
    url.searchParams.set('dcid', String(EVENTS_CHANNEL));
    if (ahead) url.searchParams.set('instant', 'true');
    return fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', ...this.#authorization() },
      body: offer,
      signal: AbortSignal.timeout(ANSWER_LIMIT),
    });
  }

  /** @returns {Record<string, string>} */
  #authorization() {
    return this.#apiKey ? { Authorization: `Bearer ${this.#apiKey}` } : {};
  }
}

/**
 * @param {Response} response
 * @returns {URL | null}
 */
function locationIn(response) {
  const location = response.headers.get('Location');
  return location === null ? null : new URL(location, response.url);
}
