/** Cuts text that comes in pieces into sentences, each as soon as it is whole. */
export class Sentences {
  #text = '';

  /** The next piece; gives the sentences that it completed, with the space after them. */
  add(piece: string): string[] {
    this.#text += piece;
    const whole: string[] = [];
    for (let end = endOfSentence(this.#text); end > 0; end = endOfSentence(this.#text)) {
      whole.push(this.#text.slice(0, end));
      this.#text = this.#text.slice(end);
    }
    return whole;
  }

  /** What is left at the end of the text. */
  end(): string[] {
    const rest = this.#text;
    this.#text = '';
    return rest.trim() === '' ? [] : [rest];
  }
}

/** Shorter pieces sound chopped: "Mr. ", "1. " and "Yes. " go with what follows. */
const SHORTEST = 12;

/** Right after the first sentence, -1 when none is whole. A full stop counts once a space or a line end follows. */
function endOfSentence(text: string): number {
  for (const match of text.matchAll(/(?:[.!?…]["')\]]*\s+|[。！？]|\n+)/g)) {
    const end = match.index + match[0].length;
    if (end >= SHORTEST) return end;
  }
  return -1;
}
