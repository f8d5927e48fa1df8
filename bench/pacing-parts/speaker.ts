import type { Agent } from '../../src/agents/agent.ts';
import { readWav } from '../../test/media/wav.ts';
import { Resampler } from '../../src/media/resample.ts';

const RATE = 24_000;
const { rate, samples } = readWav('hello.wav');
const speech = new Resampler(rate, RATE).process(samples);
/** Longer than the bench. */
const TIMES = 20;

/** Speaks without end when asked to. */
const speaker: Agent = {
  name: 'speaker',
  format: { codec: 'pcm16', rate: RATE },
  turns: false,
  open: () => ({
    answer(response) {
      for (let i = 0; i < TIMES; i++) response.play(speech);
    },
  }),
};

export default speaker;
