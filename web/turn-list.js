import { element } from './element.js';

/**
 * The turns of a call as a list: who, what was said or how long, and how soon the answer came.
 *
 * @typedef {import('./conversation.js').Turn} Turn
 */
export class TurnList {
  #list;
  /** @type {Map<Turn, { row: HTMLElement, words: HTMLElement, note: HTMLElement }>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list an empty `ol`
   */
  constructor(list) {
    this.#list = list;
  }

  /**
   * @param {readonly Turn[]} turns
   */
  show(turns) {
    const known = new Set(turns);
    for (const [turn, { row }] of this.#rows) {
      if (known.has(turn)) continue;
      row.remove();
      this.#rows.delete(turn);
    }
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 8;
    for (const turn of turns) {
      const { words, note } = this.#rowOf(turn);
      words.textContent = turn.words || turn.fault || lengthOf(turn);
      words.classList.toggle('is-unsaid', turn.words === '');
      note.textContent = noteOn(turn);
    }
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /**
   * @param {Turn} turn
   */
  #rowOf(turn) {
    let shown = this.#rows.get(turn);
    if (!shown) {
      const row = element('li', '');
      row.dataset.who = turn.who;
      shown = { row, words: element('span', 'turn-words'), note: element('span', 'turn-note') };
      row.append(element('span', 'turn-who', turn.who === 'you' ? 'You' : 'Agent'), shown.words, shown.note);
      this.#list.append(row);
      this.#rows.set(turn, shown);
    }
    return shown;
  }
}

/**
 * @param {Turn} turn
 */
function lengthOf({ start, end }) {
  return end === null ? 'speaking …' : `spoke for ${((end - start) / 1000).toFixed(1)} s`;
}

/**
 * @param {Turn} turn
 */
function noteOn({ delay, interrupted, fault }) {
  const notes = delay === null ? [] : [`after ${Math.round(delay)} ms`];
  if (fault !== null) notes.push('failed');
  else if (interrupted) notes.push('interrupted');
  return notes.join(' · ');
}
