/**
 * Who is speaking, told from the events of the data channel.
 *
 * @typedef {'listening' | 'user' | 'agent'} Activity
 */
export class Turns {
  #user = false;
  #agent = false;

  /**
   * @param {{ type?: unknown }} event an event from the server
   * @returns {Activity}
   */
  handle(event) {
    switch (event.type) {
      case 'input_audio_buffer.speech_started':
        this.#user = true;
        break;
      case 'input_audio_buffer.speech_stopped':
        this.#user = false;
        break;
      case 'output_audio_buffer.started':
        this.#agent = true;
        break;
      case 'output_audio_buffer.stopped':
      case 'output_audio_buffer.cleared':
        this.#agent = false;
        break;
    }
    return this.current;
  }

  /** The person comes first: speaking over the agent is the person's turn. */
  get current() {
    if (this.#user) return 'user';
    return this.#agent ? 'agent' : 'listening';
  }
}
