/**
 * What clients may ask of a session or a response, checked field by field. Fields that are not listed pass through
 * unread, so that an agent can act on them.
 */
import { z } from 'zod';

const milliseconds = z.number().int().min(0).max(60_000);

const turnDetectionSchema = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('server_vad'),
    threshold: z.number().min(0).max(1).exactOptional(),
    prefix_padding_ms: milliseconds.exactOptional(),
    silence_duration_ms: milliseconds.exactOptional(),
    idle_timeout_ms: z.number().int().min(5_000).max(30_000).nullable().exactOptional(),
    create_response: z.boolean().exactOptional(),
    interrupt_response: z.boolean().exactOptional(),
  }),
  z.looseObject({
    type: z.literal('semantic_vad'),
    eagerness: z.enum(['low', 'medium', 'high', 'auto']).exactOptional(),
    create_response: z.boolean().exactOptional(),
    interrupt_response: z.boolean().exactOptional(),
  }),
]);

const toolSchema = z
  .looseObject({ type: z.string(), name: z.string().exactOptional(), parameters: z.looseObject({}).exactOptional() })
  .refine(({ type, name }) => type !== 'function' || name !== undefined, { path: ['name'], message: 'a function needs a name' });

/** What a session and a single response have in common. */
const speakingFields = {
  instructions: z.string().exactOptional(),
  output_modalities: z.array(z.enum(['text', 'audio'])).min(1).exactOptional(),
  tools: z.array(toolSchema).exactOptional(),
  tool_choice: z.union([z.enum(['auto', 'none', 'required']), z.looseObject({ type: z.string() })]).exactOptional(),
  max_output_tokens: z.union([z.number().int().min(1), z.literal('inf')]).exactOptional(),
  parallel_tool_calls: z.boolean().exactOptional(),
  prompt: z.looseObject({ id: z.string() }).nullable().exactOptional(),
  reasoning: z.looseObject({ effort: z.string().nullable().exactOptional() }).nullable().exactOptional(),
};

/** For audio in events: that of the call is Opus. */
const formatSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('audio/pcm'), rate: z.literal(24_000).exactOptional() }),
  z.looseObject({ type: z.enum(['audio/pcmu', 'audio/pcma']) }),
]);

const transcriptionSchema = z.looseObject({
  model: z.string().exactOptional(),
  language: z.string().exactOptional(),
  prompt: z.string().exactOptional(),
});

const noiseReductionSchema = z.looseObject({ type: z.enum(['near_field', 'far_field']).exactOptional() });

const truncationSchema = z.union([
  z.enum(['auto', 'disabled']),
  z.looseObject({ type: z.literal('retention_ratio'), retention_ratio: z.number().min(0).max(1) }),
]);

const outputSchema = z.looseObject({
  format: formatSchema.exactOptional(),
  voice: z.union([z.string(), z.looseObject({ id: z.string() })]).exactOptional(),
  speed: z.number().min(0.25).max(1.5).exactOptional(),
});

/** What a client gives when it creates or updates a session. */
export const sessionConfigSchema = z.looseObject({
  type: z.literal('realtime').default('realtime'),
  model: z.string().exactOptional(),
  ...speakingFields,
  include: z.array(z.string()).nullable().exactOptional(),
  tracing: z.union([z.literal('auto'), z.looseObject({})]).nullable().exactOptional(),
  truncation: truncationSchema.exactOptional(),
  audio: z
    .looseObject({
      input: z
        .looseObject({
          turn_detection: turnDetectionSchema.nullable().exactOptional(),
          format: formatSchema.exactOptional(),
          transcription: transcriptionSchema.nullable().exactOptional(),
          noise_reduction: noiseReductionSchema.nullable().exactOptional(),
        })
        .exactOptional(),
      output: outputSchema.exactOptional(),
    })
    .exactOptional(),
});

/** What `response.create` may change for one response. */
export const responseConfigSchema = z.looseObject({
  ...speakingFields,
  audio: z.looseObject({ output: outputSchema.exactOptional() }).exactOptional(),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((metadata) => Object.keys(metadata).length <= 16, 'sixteen entries at the most')
    .nullable()
    .exactOptional(),
  conversation: z.literal('auto', 'only "auto" is served: there are no responses outside of the conversation').exactOptional(),
  input: z.undefined('not served: a response takes the whole conversation').optional(),
});

export type SessionConfig = z.infer<typeof sessionConfigSchema>;

export type TurnDetectionConfig = z.infer<typeof turnDetectionSchema>;
