import type { Agent } from '../../src/agents/index.ts';

/** Sends every packet straight back, and prints what it is told of the server. */
const agent: Agent = {
  name: 'rolling',
  format: { codec: 'opus' },
  turns: false,
  open: (call) => ({
    opus: (frame) => call.forward(frame),
    draining: ({ withinMs }) => void process.stderr.write(`agent told: ${withinMs} ms left\n`),
  }),
};

export default agent;
