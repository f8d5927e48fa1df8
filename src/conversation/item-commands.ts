/** What a client does with the entries of a conversation. */
import type { Command, FaultCode, Item, Notice } from './dialect.ts';
import { isTooLargeToTell, MAX_TOLD } from './event-outlet.ts';
import type { ItemList } from './items.ts';

/** Why a command was not followed; nothing has changed. */
export interface Refusal {
  readonly code: FaultCode;
  readonly message: string;
  readonly param: string | null;
}

export function refusal(code: FaultCode, message: string, param: string | null): Refusal {
  return { code, message, param };
}

export type ItemCommand = Extract<Command, { type: 'create_item' | 'retrieve_item' | 'truncate_item' | 'delete_item' }>;

/** Follows one command, null, or refuses it. */
export function executeItemCommand(
  command: ItemCommand,
  items: ItemList,
  { tell, nextId }: { tell: (notice: Notice) => void; nextId: (prefix: string) => string },
): Refusal | null {
  if (command.type === 'create_item') {
    const { item, after } = command;
    const id = typeof item['id'] === 'string' ? item['id'] : nextId('item');
    if (items.get(id) !== undefined) return refusal('item_already_exists', 'There is an item with that id.', 'item.id');
    if (typeof after === 'string' && items.get(after) === undefined) return notFound('previous_item_id');
    const whole: Item = { status: 'completed', ...item, id, object: 'realtime.item' };
    if (isTooLargeToTell(whole)) {
      return refusal('item_too_large', `The item is larger than ${MAX_TOLD} bytes.`, 'item');
    }
    addItem(whole, items, tell, after);
    return null;
  }
  const { itemId } = command;
  const item = items.get(itemId);
  if (item === undefined) return notFound('item_id');
  switch (command.type) {
    case 'retrieve_item':
      tell({ type: 'item_retrieved', item });
      return null;
    case 'delete_item':
      items.delete(itemId);
      tell({ type: 'item_deleted', itemId });
      return null;
    case 'truncate_item': {
      const { audioEndMs } = command;
      const spokenMs = items.spokenMs(itemId);
      if (spokenMs === null) return refusal('invalid_value', 'Only messages that the agent spoke can be truncated.', 'item_id');
      if (audioEndMs > spokenMs) {
        return refusal('invalid_value', `The audio of that item is only ${Math.floor(spokenMs)} ms long.`, 'audio_end_ms');
      }
      items.truncate(itemId, audioEndMs);
      tell({ type: 'item_truncated', itemId, audioEndMs });
      return null;
    }
  }
}

/** Adds a whole item: at the end, or after another (null: at the beginning). */
export function addItem(item: Item, items: ItemList, tell: (notice: Notice) => void, after?: string | null): void {
  const previousItemId = items.insert(item, after);
  tell({ type: 'item_added', item, previousItemId });
  tell({ type: 'item_done', item, previousItemId });
}

function notFound(param: string): Refusal {
  return refusal('item_not_found', 'There is no such item.', param);
}
