/**
 * The session object of the OpenAI Realtime protocol: what a client may ask for, and the whole session with defaults
 * filled in. Fields that are not listed pass through unread, so that an agent can act on them.
 */
import { z } from 'zod';
import type { TurnDetectorSettings } from '../media/turn-detector.ts';

/** What a client gives when it creates or updates a session. */
export type SessionConfig = z.infer<typeof sessionConfigSchema>;

/** A session field is wrong; nothing has changed. */
export class SessionConfigError extends Error {
  readonly code = 'invalid_session';
  /** Dotted path of the field, `session` for the object itself. */
  readonly param: string;

  constructor(param: string, message: string) {
    super(message);
    this.name = 'SessionConfigError';
    this.param = param;
  }
}

/** A session in effect. */
export interface Session {
  readonly type: 'realtime';
  readonly object: 'realtime.session';
  /** `sess_…` */
  readonly id: string;
  readonly model: string;
  readonly output_modalities: readonly string[];
  readonly instructions: string;
  readonly tools: readonly unknown[];
  readonly audio: {
    readonly input: {
      readonly turn_detection: TurnDetection | null;
      readonly [field: string]: unknown;
    };
    readonly output: { readonly voice: unknown; readonly [field: string]: unknown };
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

export type TurnDetection = ServerVad | SemanticVad;

export interface ServerVad {
  readonly type: 'server_vad';
  readonly threshold: number;
  readonly prefix_padding_ms: number;
  readonly silence_duration_ms: number;
  /** How long nobody speaks after an answer before the agent is asked to speak again; null for ever. */
  readonly idle_timeout_ms: number | null;
  readonly create_response: boolean;
  readonly interrupt_response: boolean;
  readonly [field: string]: unknown;
}

export interface SemanticVad {
  readonly type: 'semantic_vad';
  readonly eagerness: 'low' | 'medium' | 'high' | 'auto';
  readonly create_response: boolean;
  readonly interrupt_response: boolean;
  readonly [field: string]: unknown;
}

/** @throws {SessionConfigError} that names the first wrong field. */
export function parseSessionConfig(value: unknown): SessionConfig {
  const result = sessionConfigSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue.path.map(String);
  throw new SessionConfigError(path.join('.') || 'session', `${['session', ...path].join('.')}: ${issue.message}`);
}

/** The session that a call starts with. */
export function createSession(config: SessionConfig, defaults: { id: string; model: string }): Session {
  const initial: Session = {
    type: 'realtime',
    object: 'realtime.session',
    id: defaults.id,
    model: defaults.model,
    output_modalities: ['audio'],
    instructions: '',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    tracing: null,
    truncation: 'auto',
    prompt: null,
    include: null,
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24_000 },
        transcription: null,
        noise_reduction: null,
        turn_detection: SERVER_VAD,
      },
      output: { format: { type: 'audio/pcm', rate: 24_000 }, voice: 'alloy', speed: 1 },
    },
  };
  return updateSession(initial, config);
}

/** A session with changes: fields of `audio` are merged one by one, all others are replaced. The id stays. */
export function updateSession(session: Session, patch: SessionConfig): Session {
  const input = patch.audio?.input;
  const output = patch.audio?.output;
  const detection = input?.turn_detection;
  return {
    ...session,
    ...patch,
    type: session.type,
    object: session.object,
    id: session.id,
    model: patch.model ?? session.model,
    output_modalities: patch.output_modalities ?? session.output_modalities,
    instructions: patch.instructions ?? session.instructions,
    tools: patch.tools ?? session.tools,
    audio: {
      ...session.audio,
      ...patch.audio,
      input: {
        ...session.audio.input,
        ...input,
        turn_detection: detection === undefined ? session.audio.input.turn_detection : withDefaults(detection),
      },
      output: { ...session.audio.output, ...output },
    },
  };
}

/** How the turns of a session are found, null when the client ends them itself. */
export function turnSettings(session: Session): TurnDetectorSettings | null {
  const detection = session.audio.input.turn_detection;
  if (detection === null) return null;
  // There is no model of meaning here: eagerness becomes the length of the silence that ends a turn.
  const vad =
    detection.type === 'server_vad'
      ? detection
      : { ...SERVER_VAD, silence_duration_ms: EAGERNESS_SILENCE_MS[detection.eagerness] };
  return {
    threshold: vad.threshold,
    prefixPaddingMs: vad.prefix_padding_ms,
    silenceDurationMs: vad.silence_duration_ms,
  };
}

const SERVER_VAD: ServerVad = {
  type: 'server_vad',
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: 500,
  idle_timeout_ms: null,
  create_response: true,
  interrupt_response: true,
};

const SEMANTIC_VAD: SemanticVad = {
  type: 'semantic_vad',
  eagerness: 'auto',
  create_response: true,
  interrupt_response: true,
};

const EAGERNESS_SILENCE_MS = { low: 1000, medium: 500, auto: 500, high: 300 } as const;

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

const toolSchema = z.union([
  z.looseObject({ type: z.literal('function'), name: z.string(), parameters: z.looseObject({}).exactOptional() }),
  z.looseObject({ type: z.string().refine((type) => type !== 'function', 'a function needs a name, and parameters that are an object') }),
]);

/** What a session and a single response have in common. */
const speakingFields = {
  instructions: z.string().exactOptional(),
  output_modalities: z.array(z.enum(['text', 'audio'])).min(1).exactOptional(),
  tools: z.array(toolSchema).exactOptional(),
  tool_choice: z.union([z.enum(['auto', 'none', 'required']), z.looseObject({ type: z.string() })]).exactOptional(),
  max_output_tokens: z.union([z.number().int().min(1), z.literal('inf')]).exactOptional(),
};

const outputSchema = z.looseObject({
  voice: z.union([z.string(), z.looseObject({ id: z.string() })]).exactOptional(),
  speed: z.number().min(0.25).max(1.5).exactOptional(),
});

export const sessionConfigSchema = z.looseObject({
  type: z.literal('realtime').default('realtime'),
  model: z.string().exactOptional(),
  ...speakingFields,
  audio: z
    .looseObject({
      input: z
        .looseObject({
          turn_detection: turnDetectionSchema.nullable().exactOptional(),
          transcription: z.looseObject({}).nullable().exactOptional(),
          noise_reduction: z.looseObject({}).nullable().exactOptional(),
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
  metadata: z.record(z.string().max(64), z.string().max(512)).nullable().exactOptional(),
  conversation: z.literal('auto', 'only "auto" is served: there are no responses outside of the conversation').exactOptional(),
  input: z.undefined('not served: a response takes the whole conversation').optional(),
});

function withDefaults(detection: z.infer<typeof turnDetectionSchema> | null): TurnDetection | null {
  if (detection === null) return null;
  return detection.type === 'server_vad' ? { ...SERVER_VAD, ...detection } : { ...SEMANTIC_VAD, ...detection };
}
