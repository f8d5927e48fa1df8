/**
 * The session object of the OpenAI Realtime protocol as it is in effect: what a client asked for, with defaults filled
 * in. What it may ask for is in session-schema.ts.
 */
import type { TurnDetectorSettings } from '../media/turn-detector.ts';
import type { SessionConfig, TurnDetectionConfig } from './session-schema.ts';

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

function withDefaults(detection: TurnDetectionConfig | null): TurnDetection | null {
  if (detection === null) return null;
  return detection.type === 'server_vad' ? { ...SERVER_VAD, ...detection } : { ...SEMANTIC_VAD, ...detection };
}
