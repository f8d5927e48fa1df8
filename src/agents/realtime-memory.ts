import type { AgentEvent, AgentItem } from './agent.ts';

interface Content {
  readonly type: string;
  readonly text?: string;
  readonly transcript?: string | null;
}

/** What was said to a Realtime server and by it, so that a new connection can be told: as text, since sound is gone. */
export class RealtimeMemory {
  readonly #items = new Map<string, AgentItem>();

  /** Learns from an event of the server. */
  note(event: AgentEvent): void {
    const { type, item, item_id: id } = event as AgentEvent & { item?: AgentItem; item_id?: string };
    if ((type === 'conversation.item.added' || type === 'conversation.item.done') && typeof item?.id === 'string') {
      this.#items.set(item.id, item);
      if (this.#items.size > MAX_ITEMS) this.#items.delete(this.#items.keys().next().value!);
    } else if (type === 'conversation.item.input_audio_transcription.completed') {
      const known = this.#items.get(id!);
      if (known) this.#items.set(known.id, { ...known, content: [{ type: 'input_audio', transcript: event['transcript'] }] });
    } else if (type === 'conversation.item.deleted' || type === 'conversation.item.truncated') {
      // Of a truncated item the server keeps no words either.
      this.#items.delete(id!);
    }
  }

  /** Items for `conversation.item.create`, in order. */
  replay(): AgentItem[] {
    return [...this.#items.values()].map(asText).filter((item) => item !== null);
  }
}

const MAX_ITEMS = 200;

function asText(item: AgentItem): AgentItem | null {
  const { id, type } = item;
  if (type === 'function_call') return { id, type, call_id: item['call_id'], name: item['name'], arguments: item['arguments'] };
  if (type === 'function_call_output') return { id, type, call_id: item['call_id'], output: item['output'] };
  if (type !== 'message') return null;
  const parts = Array.isArray(item['content']) ? (item['content'] as (Content | null)[]) : [];
  const words = parts.map((part) => part?.text ?? part?.transcript ?? '').join(' ').trim();
  const role = item['role'];
  return words === '' ? null : { id, type, role, content: [{ type: role === 'assistant' ? 'output_text' : 'input_text', text: words }] };
}
