import type { AgentEvent } from './agent.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** What is read of the server's events. A server can be wrong, so all of it may be missing. */
export interface ServerEvent extends AgentEvent {
  readonly session?: { readonly audio?: { readonly input?: { readonly turn_detection?: { readonly interrupt_response?: boolean } | null } } };
  readonly item?: { readonly id?: string; readonly content?: readonly Fields[] };
  readonly response?: Fields & { readonly id?: string };
  readonly error?: Fields & { readonly event_id?: string | null };
  readonly response_id?: string;
  readonly item_id?: string;
  readonly delta?: string;
}

/** Event ids of our own begin so; the client does not hear of errors in events that it has not sent. */
export const OWN = 'earshot_';

/** What a data channel takes in one message is 256 KiB at the most. */
const MAX_EVENT = 200_000;

/** Servers give what was said back as sound too. Seconds of it are more than a data channel takes; the words are not. */
export function withoutLongAudio(event: ServerEvent): AgentEvent {
  const { item } = event;
  if (!Array.isArray(item?.content) || JSON.stringify(event).length <= MAX_EVENT) return event;
  return { ...event, item: { ...item, content: item.content.map((part: Fields | null) => ({ ...part, audio: undefined })) } };
}
