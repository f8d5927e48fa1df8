import type { Agent, AgentResponse } from '../../src/agents/index.ts';
import { SILENT_PACKET } from '../support/silent-packet.ts';

const FRAMES = 60 * 50;

/** Sends every packet straight back, and talks for a minute when it is asked to. */
const talker: Agent = {
  name: 'talker',
  format: { codec: 'opus' },
  turns: false,
  open: (call) => ({
    opus: (frame) => call.forward(frame),
    answer: talk,
  }),
};

/** A minute of packets. */
export function talk(response: AgentResponse): void {
  for (let i = 0; i < FRAMES; i++) response.play(SILENT_PACKET);
}

export default talker;
