import type { Agent } from '../../src/agents/index.ts';

/**
 * The agent of `bench:setup`: speaks from the moment it is opened, and tells when the caller's first packet has come,
 * decrypted, in the event `bench.heard { at }` (Unix time, ms).
 */
const talker: Agent = {
  name: 'talker',
  format: { codec: 'opus' },
  turns: false,
  open(call) {
    let heard = false;
    call.respond((response) => {
      for (let i = 0; i < SPOKEN_FRAMES; i++) response.play(SILENCE);
    });
    return {
      opus() {
        if (heard) return;
        heard = true;
        call.send({ type: 'bench.heard', at: performance.timeOrigin + performance.now() });
      },
    };
  },
};

export default talker;

/** 20 ms of silence in Opus. */
const SILENCE = Uint8Array.of(0xf8, 0xff, 0xfe);
const SPOKEN_FRAMES = 500;
