import type { Agent } from './agent.ts';

/** Sends every Opus frame straight back: no decoding, no pacing, no turns. The shortest way through a call. */
export const echo: Agent = {
  name: 'echo',
  format: { codec: 'opus' },
  turns: false,
  open: (call) => ({
    opus(frame) {
      call.forward(frame);
    },
  }),
};
