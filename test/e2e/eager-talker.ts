import type { Agent } from '../../src/agents/index.ts';
import { talk } from './relay-talker.ts';

/** Talks for a minute as soon as the call is up, whatever the caller does. */
const eagerTalker: Agent = {
  name: 'eager talker',
  format: { codec: 'opus' },
  turns: false,
  open(call) {
    call.respond(talk);
    return {};
  },
};

export default eagerTalker;
