import type { Agent } from '../../src/agents/agent.ts';
import { inRoom, readWav } from '../../test/media/wav.ts';
import { Resampler } from '../../src/media/resample.ts';

export const RATE = 24_000;
const { rate, samples } = inRoom(readWav('hello.wav'));
export const speech = new Resampler(rate, RATE).process(samples);
const speechMs = (samples.length * 1000) / rate;
/** Instructions that have it speak for as long as the call lasts. */
export const WITHOUT_END = 'without end';

/**
 * Speaks when asked to, half of a sentence ahead and more, as models do. No frame of it is digital silence, which would
 * cost nothing.
 */
const speaker: Agent = {
  name: 'speaker',
  format: { codec: 'pcm16', rate: RATE },
  turns: false,
  open: () => ({
    async answer(response) {
      response.play(speech);
      if (response.session.instructions !== WITHOUT_END) return;
      for (let due = performance.now() + speechMs / 2; !response.signal.aborted; due += speechMs) {
        await new Promise((resolve) => setTimeout(resolve, due - performance.now()).unref());
        response.play(speech);
      }
    },
  }),
};

export default speaker;
