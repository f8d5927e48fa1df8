import type { Item } from './dialect.ts';
import type { SpokenText } from './spoken-text.ts';

/** The entries of a conversation in order. Bounded: the oldest are forgotten. */
export class ItemList {
  readonly #items = new Map<string, { item: Item; size: number; spoken: SpokenText | null }>();
  #order: string[] = [];
  #size = 0;

  /** All entries in order. */
  get all(): Item[] {
    return this.#order.map((id) => this.#items.get(id)!.item);
  }

  get length(): number {
    return this.#order.length;
  }

  get lastId(): string | null {
    return this.#order.at(-1) ?? null;
  }

  get(id: string): Item | undefined {
    return this.#items.get(id)?.item;
  }

  /**
   * Puts an item after another (null: first, undefined: last) and gives the id of the one before it.
   * The neighbour must exist and the item's id must be new.
   */
  insert(item: Item, after?: string | null): string | null {
    const at = after === undefined ? this.#order.length : after === null ? 0 : this.#order.indexOf(after) + 1;
    const previous = at === 0 ? null : this.#order[at - 1];
    const size = JSON.stringify(item).length;
    this.#order.splice(at, 0, item.id);
    this.#items.set(item.id, { item, size, spoken: null });
    this.#size += size;
    while (this.#order.length > 1 && (this.#order.length > MAX_ITEMS || this.#size > MAX_SIZE)) {
      this.delete(this.#order[0] === item.id ? this.#order[1] : this.#order[0]);
    }
    return previous;
  }

  /** Replaces an item that exists; does nothing when it has been forgotten. */
  update(item: Item): void {
    const entry = this.#items.get(item.id);
    if (entry === undefined) return;
    const size = JSON.stringify(item).length;
    this.#size += size - entry.size;
    entry.item = item;
    entry.size = size;
  }

  /** What the agent says with an item: {@link truncate} cuts its words by it. */
  speaks(id: string, spoken: SpokenText): void {
    const entry = this.#items.get(id);
    if (entry !== undefined) entry.spoken = spoken;
  }

  /** Milliseconds of the agent's audio in an item; null when it has none, or does not exist. */
  spokenMs(id: string): number | null {
    return this.#items.get(id)?.spoken?.durationMs ?? null;
  }

  /** Leaves of an item that {@link spokenMs} knows what is said in the first `audioEndMs`. */
  truncate(id: string, audioEndMs: number): void {
    const entry = this.#items.get(id);
    if (!entry?.spoken) return;
    const transcript = entry.spoken.until(audioEndMs);
    this.update({ ...entry.item, content: [{ type: 'output_audio', ...(transcript === null ? {} : { transcript }) }] });
  }

  /** Id of the item before this one. */
  previousOf(id: string): string | null {
    const at = this.#order.indexOf(id);
    return at > 0 ? this.#order[at - 1] : null;
  }

  delete(id: string): boolean {
    const entry = this.#items.get(id);
    if (entry === undefined) return false;
    this.#items.delete(id);
    this.#size -= entry.size;
    this.#order.splice(this.#order.indexOf(id), 1);
    return true;
  }
}

const MAX_ITEMS = 500;
/** Characters of JSON. */
const MAX_SIZE = 4 * 1024 * 1024;
