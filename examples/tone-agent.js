/**
 * A complete agent: greets the caller with a chime, then answers every turn with one tone per second that was spoken.
 *
 *   npm start -- --agent ./examples/tone-agent.js
 *
 * Then open the page, press Talk and say something; speak over the tones and they stop.
 */

const RATE = 24_000;

/** @type {import('earshot/agents').Agent} */
export default {
  name: 'tone',
  format: { codec: 'pcm16', rate: RATE },

  open(call) {
    call.respond((response) => {
      for (const pitch of [523, 659, 784]) response.play(tone(pitch, 150));
    });

    return {
      async answer(response, turn) {
        const seconds = turn === null ? 1 : Math.max(1, Math.round((turn.lastSpeechMs - turn.startMs) / 1000));
        await pause(200, response.signal);
        for (let i = 0; i < seconds && !response.signal.aborted; i++) {
          response.play(tone(440 + 60 * i, 300));
          response.play(new Int16Array(RATE / 5));
        }
        call.send({ type: 'tone.counted', seconds });
      },

      interrupted({ heardMs }) {
        call.send({ type: 'tone.interrupted', heard_ms: heardMs });
      },
    };
  },
};

/** A sine of `ms` milliseconds with soft edges. */
function tone(frequency, ms) {
  const samples = new Int16Array((RATE * ms) / 1000);
  for (let i = 0; i < samples.length; i++) {
    const edge = Math.min(1, i / 240, (samples.length - i) / 240);
    samples[i] = 8000 * edge * Math.sin((2 * Math.PI * frequency * i) / RATE);
  }
  return samples;
}

/** Resolves after `ms`, or as soon as the signal aborts. */
function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true });
  });
}
