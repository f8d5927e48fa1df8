/**
 * What a message says, along its audio: each stretch of words knows where its audio begins, so that of a message that
 * was cut short the words that were heard are known. Within a stretch words count as spoken evenly.
 */
export class SpokenText {
  readonly #stretches: { atMs: number; text: string }[] = [];
  /** Length of the audio so far. */
  durationMs = 0;

  /** The next words; their audio follows. */
  add(words: string): void {
    const last = this.#stretches.at(-1);
    if (last?.atMs === this.durationMs) last.text += words;
    else this.#stretches.push({ atMs: this.durationMs, text: words });
  }

  /** All words, null when there are none. */
  get whole(): string | null {
    return this.#stretches.length === 0 ? null : this.#stretches.map(({ text }) => text).join('');
  }

  /** The words of the first `heardMs` of audio, null when none are known. */
  until(heardMs: number): string | null {
    if (this.#stretches.length === 0) return null;
    let heard = '';
    for (const [i, { atMs, text }] of this.#stretches.entries()) {
      if (atMs >= heardMs) break;
      const endMs = this.#stretches[i + 1]?.atMs ?? this.durationMs;
      heard += endMs <= heardMs ? text : firstWords(text, (heardMs - atMs) / (endMs - atMs));
    }
    return heard.trimEnd();
  }
}

function firstWords(text: string, part: number): string {
  const words = text.match(/\s*\S+/g) ?? [];
  return words.slice(0, Math.floor(words.length * part)).join('');
}
