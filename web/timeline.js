/**
 * The last half minute of a call as two lanes, the caller's and the agent's, with a mark where an answer was cut short.
 *
 * @typedef {import('./conversation.js').Turn} Turn
 *
 * @typedef {object} Stretch One turn in the picture; geometry in percent of its width.
 * @property {Turn} turn
 * @property {number} left
 * @property {number} width
 */

/** Milliseconds that the picture shows. */
export const WINDOW = 30_000;

/**
 * Pure: where the turns go in a picture that ends at `now`, or shows the first half minute of a younger call.
 * @param {readonly Turn[]} turns
 * @param {number} now
 * @returns {Stretch[]}
 */
export function place(turns, now) {
  const from = Math.max(0, now - WINDOW);
  return turns.flatMap((turn) => {
    const start = Math.max(turn.start, from);
    const end = Math.min(turn.end ?? now, from + WINDOW);
    return end < from || end < start ? [] : [{ turn, left: ((start - from) / WINDOW) * 100, width: ((end - start) / WINDOW) * 100 }];
  });
}

export class Timeline {
  #lanes;
  /** @type {Map<Turn, HTMLElement>} */
  #bars = new Map();

  /**
   * @param {Record<import('./conversation.js').Speaker, HTMLElement>} lanes empty elements
   */
  constructor(lanes) {
    this.#lanes = lanes;
  }

  /**
   * @param {readonly Turn[]} turns
   * @param {number} now milliseconds since the call began
   */
  show(turns, now) {
    const placed = place(turns, now);
    for (const { turn, left, width } of placed) {
      const bar = this.#barOf(turn);
      bar.classList.toggle('is-interrupted', turn.interrupted);
      bar.style.left = `${left}%`;
      bar.style.width = `${width}%`;
    }
    const shown = new Set(placed.map(({ turn }) => turn));
    for (const [turn, bar] of this.#bars) {
      if (shown.has(turn)) continue;
      bar.remove();
      this.#bars.delete(turn);
    }
  }

  /**
   * @param {Turn} turn
   */
  #barOf(turn) {
    let bar = this.#bars.get(turn);
    if (!bar) {
      bar = document.createElement('span');
      bar.className = 'turn-bar';
      this.#lanes[turn.who].append(bar);
      this.#bars.set(turn, bar);
    }
    return bar;
  }
}
