import { z } from 'zod';

/** The session object of the Realtime protocol, as far as Earshot acts on it; unknown fields pass through to the agent. */
export const sessionConfigSchema = z.looseObject({
  type: z.literal('realtime').default('realtime'),
  model: z.string().optional(),
  instructions: z.string().optional(),
});

export type SessionConfig = z.infer<typeof sessionConfigSchema>;
