/**
 * Who spoke when, and what was said, read from the events of the data channel. Times are milliseconds since the call
 * began, as this side saw the events.
 *
 * @typedef {'you' | 'agent'} Speaker
 *
 * @typedef {object} Turn One stretch of speech.
 * @property {Speaker} who
 * @property {string} id of the item or the response
 * @property {number} start
 * @property {number | null} end null while it goes on
 * @property {boolean} interrupted the agent's: cut short, by the voice of the caller for instance
 * @property {string | null} fault the agent's: why the answer could not be given, or not to its end
 * @property {number | null} delay the agent's: from the end of the caller's words to the first sound; null when it spoke unasked
 * @property {string} words empty where nobody gives a transcript
 *
 * @typedef {{ type?: unknown, [field: string]: any }} ServerEvent
 */

/** Older turns are forgotten: a long call must not fill the memory. */
const KEPT_TURNS = 200;

export class Conversation {
  /** In the order of their beginnings. @type {Turn[]} */
  turns = [];
  /** The silence after which the server says that a turn is over, in milliseconds. */
  #silence = 0;
  /** When the caller's last words ended, as long as they are not answered. @type {number | null} */
  #unanswered = null;
  /** Words of answers that are not heard yet, by response. @type {Map<string, string>} */
  #waiting = new Map();

  /**
   * @param {{ event: ServerEvent, at: number }} message
   * @returns {boolean} whether the turns have changed
   */
  handle({ event, at }) {
    switch (event.type) {
      case 'session.created':
      case 'session.updated':
        this.#silence = event.session?.audio?.input?.turn_detection?.silence_duration_ms ?? 0;
        return false;
      case 'input_audio_buffer.speech_started':
        this.#begin('you', event.item_id, at);
        return true;
      case 'input_audio_buffer.speech_stopped': {
        const turn = this.#find('you', event.item_id);
        // The event comes one silence after the last word.
        const end = Math.max(turn?.start ?? 0, at - this.#silence);
        if (turn) turn.end = end;
        this.#unanswered = end;
        return true;
      }
      case 'output_audio_buffer.started': {
        const turn = this.#begin('agent', event.response_id, at);
        turn.words = this.#waiting.get(turn.id) ?? '';
        this.#waiting.clear();
        turn.delay = this.#unanswered === null ? null : at - this.#unanswered;
        this.#unanswered = null;
        return true;
      }
      case 'output_audio_buffer.stopped':
      case 'output_audio_buffer.cleared': {
        const turn = this.#find('agent', event.response_id);
        if (!turn || turn.end !== null) return false;
        turn.end = at;
        turn.interrupted = event.type === 'output_audio_buffer.cleared';
        return true;
      }
      case 'conversation.item.input_audio_transcription.completed':
        return this.#say('you', event.item_id, event.transcript);
      case 'response.output_audio_transcript.delta':
        return this.#say('agent', event.response_id, event.delta, true);
      case 'response.done': {
        const changed = this.#say('agent', event.response?.id, transcriptOf(event.response));
        if (event.response?.status !== 'failed') return changed;
        this.#fail(event.response, at);
        return true;
      }
      default:
        return false;
    }
  }

  /** Median of the agent's delays in milliseconds, null before the first. */
  get responseDelay() {
    const delays = this.turns.flatMap(({ delay }) => (delay === null ? [] : [delay])).sort((a, b) => a - b);
    return delays.length === 0 ? null : delays[Math.floor((delays.length - 1) / 2)];
  }

  /**
   * The call is over: nobody speaks any more.
   * @param {number} at
   */
  end(at) {
    for (const turn of this.turns) turn.end ??= at;
  }

  /**
   * @param {Speaker} who
   * @param {unknown} id
   * @param {number} at
   */
  #begin(who, id, at) {
    /** @type {Turn} */
    const turn = { who, id: String(id), start: at, end: null, interrupted: false, fault: null, delay: null, words: '' };
    this.turns.push(turn);
    if (this.turns.length > KEPT_TURNS) this.turns.shift();
    return turn;
  }

  /**
   * An answer that failed before its first sound has a place among the turns all the same.
   * @param {any} response
   * @param {number} at
   */
  #fail(response, at) {
    let turn = this.#find('agent', response.id);
    if (!turn) {
      turn = this.#begin('agent', response.id, at);
      turn.end = at;
    }
    const { message, code } = response.status_details?.error ?? {};
    turn.fault = String(message ?? code ?? 'failed');
    this.#unanswered = null;
  }

  /**
   * @param {Speaker} who
   * @param {unknown} id
   */
  #find(who, id) {
    return this.turns.findLast((turn) => turn.who === who && turn.id === id);
  }

  /**
   * @param {Speaker} who
   * @param {unknown} id
   * @param {unknown} words
   * @param {boolean} [more] whether they follow those that are known
   */
  #say(who, id, words, more = false) {
    if (typeof words !== 'string' || words === '') return false;
    const turn = this.#find(who, id);
    if (turn) turn.words = more ? turn.words + words : words;
    else if (who === 'agent' && more) this.#waiting.set(String(id), (this.#waiting.get(String(id)) ?? '') + words);
    return turn !== undefined;
  }
}

/**
 * What was heard of a response: after an interruption less than what was made.
 * @param {any} response
 */
function transcriptOf(response) {
  const parts = (response?.output ?? []).flatMap((/** @type {any} */ item) => item?.content ?? []);
  return parts.map((/** @type {any} */ part) => part?.transcript ?? '').join('');
}
