import type { Agent, AgentCall, AgentSession, OpusFrame } from './agent.ts';

/** Sends every Opus frame straight back: no decoding, no pacing, no turns. The shortest way through a call. */
export const echo: Agent = {
  name: 'echo',
  format: { codec: 'opus' },
  turns: false,
  open: (call) => new EchoSession(call),
};

class EchoSession implements AgentSession {
  readonly #call: AgentCall;

  constructor(call: AgentCall) {
    this.#call = call;
  }

  opus(frame: OpusFrame): void {
    this.#call.forward(frame);
  }
}
