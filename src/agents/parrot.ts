import { AudioHistory } from '../media/audio-history.ts';
import type { Agent } from './agent.ts';

const RATE = 24_000;
/** What is remembered of a long turn: its end. */
const LONGEST_TURN_MS = 30_000;
/** What is remembered while nobody speaks: a turn begins a little before it is noticed. */
const LEAD_MS = 1_000;
/** Silence kept after the last word, so that the answer does not end abruptly. */
const TAIL_MS = 120;

/** Waits for the end of your turn and says it back; speak over it and it stops. Needs no model and no key. */
export const parrot: Agent = {
  name: 'parrot',
  format: { codec: 'pcm16', rate: RATE },
  open(call) {
    const heard = new AudioHistory(RATE);
    let speaking = false;
    let words: Int16Array = new Int16Array(0);
    return {
      audio(samples) {
        heard.write(samples);
        const pushToTalk = call.session.audio.input.turn_detection === null;
        heard.keep(speaking || pushToTalk ? LONGEST_TURN_MS : LEAD_MS);
      },
      speechStarted() {
        speaking = true;
      },
      speechStopped(turn) {
        speaking = false;
        words = heard.slice(turn.startMs, Math.min(turn.endMs, turn.lastSpeechMs + TAIL_MS));
      },
      answer(response) {
        response.play(words);
      },
    };
  },
};
