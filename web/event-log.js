/**
 * The events of the data channel as a list: time, type, and the JSON on demand.
 */

import { element } from './element.js';

/** Older events leave the page: a long call must not fill the memory. */
const KEPT_EVENTS = 500;

export class EventLog {
  #list;
  #filter;
  #count;
  #received = 0;

  /**
   * @param {{ list: HTMLElement, filter: HTMLInputElement, count: HTMLElement }} parts
   */
  constructor({ list, filter, count }) {
    this.#list = list;
    this.#filter = filter;
    this.#count = count;
    filter.addEventListener('input', () => this.#applyFilter());
    this.clear();
  }

  clear() {
    this.#received = 0;
    this.#list.replaceChildren();
    this.#showCount();
  }

  /**
   * @param {{ event: { type?: unknown }, at: number }} message
   */
  add({ event, at }) {
    const row = document.createElement('li');
    row.dataset.type = String(event.type);
    const details = document.createElement('details');
    const summary = document.createElement('summary');
    summary.append(element('span', 'event-time', `${(at / 1000).toFixed(2)} s`), element('span', 'event-type', String(event.type)));
    const json = document.createElement('pre');
    details.append(summary, json);
    details.addEventListener('toggle', () => (json.textContent = JSON.stringify(event, null, 2)), { once: true });
    row.append(details);
    row.hidden = !this.#matches(row);

    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 8;
    this.#list.append(row);
    if (this.#list.childElementCount > KEPT_EVENTS) this.#list.firstElementChild?.remove();
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight;
    this.#received++;
    this.#showCount();
  }

  #applyFilter() {
    for (const row of this.#list.children) {
      if (row instanceof HTMLElement) row.hidden = !this.#matches(row);
    }
  }

  /**
   * @param {HTMLElement} row
   */
  #matches(row) {
    return (row.dataset.type ?? '').toLowerCase().includes(this.#filter.value.trim().toLowerCase());
  }

  #showCount() {
    this.#count.textContent = this.#received === 0 ? 'none yet' : String(this.#received);
  }
}
