/**
 * The set-up of a call as a waterfall: one row per step, one bar on a common time axis.
 *
 * Two steps depend on people, not on the network: the microphone (someone reads a prompt) and the first audio (the
 * agent may wait for its turn). Where they are long they are cut at the edge of the picture, so that the milliseconds
 * in between stay readable; their figures tell the whole time.
 *
 * @typedef {import('./call.js').Step} Step
 * @typedef {import('./call.js').StepName} StepName
 *
 * @typedef {object} Bar Geometry in percent of the picture's width.
 * @property {StepName} name
 * @property {number} left
 * @property {number} width
 * @property {number} duration milliseconds
 * @property {boolean} cut whether the bar is longer than shown
 */

import { element } from './element.js';

/** @type {Record<StepName, string>} */
const LABELS = {
  microphone: 'Microphone',
  answer: 'Offer → answer',
  ice: 'ICE',
  dtls: 'DTLS',
  channel: 'Data channel',
  audio: 'First audio',
};
const NETWORK_STEPS = new Set(['answer', 'ice', 'dtls', 'channel']);
/** How much of the picture each cut step may take, as a share of the network steps. */
const CUT_SHARE = 0.2;

/**
 * Pure: where each finished step's bar goes. Nothing is drawn before the first network step gives the axis its scale.
 * @param {readonly Step[]} steps
 * @returns {Bar[]}
 */
export function layOut(steps) {
  const done = steps.flatMap((step) => (step.end === null ? [] : [{ ...step, end: step.end }]));
  const network = done.filter((step) => NETWORK_STEPS.has(step.name));
  const networkStart = Math.min(...network.map((step) => step.start));
  const networkEnd = Math.max(...network.map((step) => step.end));
  const margin = Math.max(1, (networkEnd - networkStart) * CUT_SHARE);
  const from = Math.max(Math.min(...done.map((step) => step.start)), networkStart - margin);
  const to = Math.min(Math.max(...done.map((step) => step.end)), networkEnd + margin);
  const percent = (/** @type {number} */ ms) => (network.length === 0 ? 0 : (ms / Math.max(to - from, 1e-3)) * 100);
  return done.map(({ name, start, end }) => {
    const left = Math.max(start, from);
    const right = Math.max(left, Math.min(end, to));
    return {
      name,
      left: percent(left - from),
      width: percent(right - left),
      duration: end - start,
      cut: start < from || end > to,
    };
  });
}

/**
 * From the posting of the offer to the open data channel, in milliseconds; null until it is open.
 * @param {readonly Step[]} steps
 */
export function setUpTime(steps) {
  const start = steps.find((step) => step.name === 'answer')?.start;
  const end = steps.find((step) => step.name === 'channel')?.end;
  return start === undefined || end === undefined || end === null ? null : end - start;
}

export class Waterfall {
  /** @type {Map<string, { row: HTMLElement, bar: HTMLElement, time: HTMLElement }>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list an empty `ol`
   */
  constructor(list) {
    for (const [name, label] of Object.entries(LABELS)) {
      const row = element('li', 'step');
      const bar = element('span', 'step-bar');
      const track = element('span', 'step-track');
      const time = element('span', 'step-time');
      track.append(bar);
      row.append(element('span', 'step-name', label), track, time);
      row.dataset.step = name;
      list.append(row);
      this.#rows.set(name, { row, bar, time });
    }
    this.show([]);
  }

  /**
   * @param {readonly Step[]} steps
   */
  show(steps) {
    const bars = new Map(layOut(steps).map((bar) => [/** @type {string} */ (bar.name), bar]));
    for (const [name, { row, bar, time }] of this.#rows) {
      const shown = bars.get(name);
      row.classList.toggle('is-running', steps.some((step) => step.name === name && step.end === null));
      row.classList.toggle('is-cut', shown?.cut ?? false);
      // A step of next to no time still shows, at the right edge too.
      bar.style.left = `min(${shown?.left ?? 0}%, 100% - 3px)`;
      bar.style.width = `${shown?.width ?? 0}%`;
      bar.hidden = !shown || shown.width === 0;
      time.textContent = shown ? formatDuration(shown.duration) : '–';
    }
  }
}

/**
 * @param {number} ms
 */
function formatDuration(ms) {
  if (ms >= 10_000) return `${Math.round(ms / 1000)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
