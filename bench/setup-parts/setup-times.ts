/** When each part of a set-up was done: ms since the answer was applied. Null: not within the limit. */
export interface SetupTimes {
  readonly ice: number | null;
  readonly dtls: number | null;
  /** A data channel is open. */
  readonly channel: number | null;
  /** `session.created` has come. */
  readonly created: number | null;
  /** The agent's first packet is here, decrypted. */
  readonly agentAudio: number | null;
  /** The caller's first packet is with the agent, decrypted. */
  readonly callerAudio: number | null;
}

export interface Setup {
  /** From the offer sent to the answer here, over a connection that is open; 0 when it was asked for ahead, ms. */
  readonly answerMs: number;
  /** When the answer was applied: Unix time, ms. */
  readonly appliedAt: number;
  readonly times: SetupTimes;
}

export const MARKS = ['ice', 'dtls', 'channel', 'created', 'agentAudio', 'callerAudio'] as const;
export type Mark = (typeof MARKS)[number];

export const MARK_NAMES: Readonly<Record<Mark, string>> = {
  ice: 'ICE',
  dtls: 'DTLS',
  channel: 'channel',
  created: 'session.created',
  agentAudio: 'agent audio',
  callerAudio: 'caller audio',
};

/** Somebody who places calls, one after the other. */
export interface SetupCaller {
  /** Places one call and ends it when all has come that it waits for, or at `limitMs`. */
  call(limitMs: number): Promise<Setup>;
  close(): Promise<void>;
}
