import type { Agent } from '../../src/agents/index.ts';

const RATE = 24_000;
const SECONDS = 120;

/** Talks from the beginning on, to nobody in particular, and never listens. */
const talker: Agent = {
  name: 'talker',
  format: { codec: 'pcm16', rate: RATE },
  turns: false,
  open(call) {
    const samples = Int16Array.from({ length: RATE * SECONDS }, (_, i) => 6000 * Math.sin((2 * Math.PI * 440 * i) / RATE));
    call.respond((response) => {
      response.play(samples);
    });
    return {};
  },
};

export default talker;
