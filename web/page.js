/** The talk page: binds one call at a time to what is on the screen. */
import { Turns } from './activity.js';
import { listAgents } from './agents.js';
import { Call } from './call.js';
import { Conversation } from './conversation.js';
import { missingCapability } from './failure.js';
import { EventLog } from './event-log.js';
import { Meter } from './meters.js';
import { Timeline } from './timeline.js';
import { TurnList } from './turn-list.js';
import { setUpTime, Waterfall } from './waterfall.js';

/**
 * @typedef {import('./activity.js').Activity} Activity
 * @typedef {import('./call.js').CallState} CallState
 * @typedef {import('./call.js').Step} Step
 * @typedef {import('./failure.js').CallFailure} CallFailure
 * @typedef {import('./network.js').NetworkFigures} NetworkFigures
 */

/** Milliseconds between two pictures of the time line. */
const LANE_STEP = 100;

/**
 * What the status says, by the page's mode: the call's state, or while it is live, whose turn it is.
 * @type {Record<Exclude<CallState, 'live'> | Activity, [title: string, hint: string]>}
 */
const WORDS = {
  idle: ['Ready when you are', 'Press Talk and say something.'],
  microphone: ['Asking for the microphone', 'Your browser may want your permission.'],
  connecting: ['Connecting', 'Just a moment.'],
  listening: ['Listening', 'Go ahead, say something.'],
  user: ['You are speaking', 'The agent listens until you pause.'],
  agent: ['The agent is speaking', 'Speak over it to interrupt.'],
  reconnecting: ['Connection lost', 'Trying to bring the call back.'],
  ended: ['Call ended', 'Press Talk to call again.'],
};

const stage = byId('stage', HTMLElement);
const title = byId('status-title', HTMLElement);
const hint = byId('status-hint', HTMLElement);
const button = byId('talk', HTMLButtonElement);
const buttonLabel = byId('talk-label', HTMLElement);
const clock = byId('clock', HTMLElement);
const keyForm = byId('key-form', HTMLFormElement);
const keyField = byId('key', HTMLInputElement);
const player = byId('player', HTMLAudioElement);
const setUpTotal = byId('set-up-total', HTMLElement);
const figures = {
  roundTrip: byId('round-trip', HTMLElement),
  loss: byId('loss', HTMLElement),
  jitter: byId('jitter', HTMLElement),
};
const yourMeter = new Meter(byId('your-meter', HTMLCanvasElement), 'left');
const agentMeter = new Meter(byId('agent-meter', HTMLCanvasElement), 'right');
const waterfall = new Waterfall(byId('waterfall', HTMLElement));
const agentChoice = byId('agent-choice', HTMLElement);
const agentField = byId('agent', HTMLSelectElement);
const conversationPanel = byId('conversation', HTMLElement);
const responseDelay = byId('response-delay', HTMLElement);
const timeline = new Timeline({ you: byId('your-lane', HTMLElement), agent: byId('agent-lane', HTMLElement) });
const turnList = new TurnList(byId('turns', HTMLElement));
const log = new EventLog({
  list: byId('events', HTMLElement),
  filter: byId('event-filter', HTMLInputElement),
  count: byId('event-count', HTMLElement),
});

/** @type {Call | null} */
let call = null;
/** The next call: its answer is asked for while nobody waits for it. @type {Call | null} */
let next = null;

const missing = missingCapability();
if (missing) {
  button.disabled = true;
  showFailure(missing);
} else {
  button.addEventListener('click', () => (call ? call.hangUp() : talk()));
  keyForm.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!call) talk();
  });
  keyField.addEventListener('change', () => void offerAgents());
  agentField.addEventListener('change', prepareCall);
  void offerAgents();
  addEventListener('pagehide', () => call?.hangUp());
}

function talk() {
  const audio = new AudioContext();
  const turns = new Turns();
  const current = next ?? newCall();
  next = null;
  call = current;
  agentField.disabled = true;
  keyForm.hidden = true;
  log.clear();
  showSteps([]);
  showNetwork({ roundTrip: null, loss: null, jitter: null });
  const stopClock = runClock();
  const conversation = followConversation();

  current.on('steps', showSteps);
  current.on('network', showNetwork);
  current.on('microphone', (stream) => yourMeter.attach(audio, stream));
  current.on('agent', (stream) => {
    player.srcObject = stream;
    agentMeter.attach(audio, stream);
  });
  current.on('message', (message) => {
    log.add(message);
    turns.handle(message.event);
    conversation.handle(message);
    if (current.state === 'live') showMode(turns.current);
  });
  current.on('state', ({ state, failure }) => {
    if (state !== 'ended') {
      showMode(state === 'live' ? turns.current : state);
      return;
    }
    call = null;
    stopClock();
    conversation.end();
    agentField.disabled = false;
    yourMeter.detach();
    agentMeter.detach();
    player.srcObject = null;
    void audio.close();
    if (failure) showFailure(failure);
    else showMode('ended');
    prepareCall();
  });
  void current.start();
}

function newCall() {
  const endpoint = new URL('/v1/realtime/calls', location.href);
  if (agentField.value) endpoint.searchParams.set('model', agentField.value);
  return new Call({ endpoint, apiKey: keyField.value.trim() });
}

/** Asks for the answer to the next call, as it would be placed now, of a server that is known to answer. */
function prepareCall() {
  if (agentField.options.length === 0) return;
  next?.hangUp();
  next = newCall();
  void next.prepare();
}

/**
 * @param {keyof typeof WORDS} mode
 */
function showMode(mode) {
  if (stage.dataset.mode === mode) return;
  stage.dataset.mode = mode;
  [title.textContent, hint.textContent] = WORDS[mode];
  const inCall = mode !== 'idle' && mode !== 'ended';
  buttonLabel.textContent = inCall ? 'Hang up' : 'Talk';
  clock.hidden = !inCall;
}

/**
 * @param {CallFailure} failure
 */
function showFailure(failure) {
  showMode('ended');
  stage.dataset.mode = 'failed';
  title.textContent = failure.message;
  hint.textContent = failure.advice;
  if (failure.code === 'unauthorized') {
    keyForm.hidden = false;
    keyField.focus();
    keyField.select();
  }
}

/**
 * @param {readonly Step[]} steps
 */
function showSteps(steps) {
  waterfall.show(steps);
  const total = setUpTime(steps);
  setUpTotal.textContent = total === null ? '' : `${Math.round(total)} ms`;
}

/**
 * @param {NetworkFigures} network
 */
function showNetwork({ roundTrip, loss, jitter }) {
  figures.roundTrip.textContent = roundTrip === null ? '–' : milliseconds(roundTrip);
  figures.loss.textContent = loss === null ? '–' : `${(loss * 100).toFixed(1)} %`;
  figures.jitter.textContent = jitter === null ? '–' : milliseconds(jitter);
}

/**
 * @param {number} value
 */
function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** Offers the server's agents, where there is a choice. */
async function offerAgents() {
  const agents = await listAgents(keyField.value.trim());
  agentField.replaceChildren(...agents.map((name) => new Option(name)));
  agentChoice.hidden = agents.length < 2;
  if (!call) prepareCall();
}

/** Shows who speaks when in the call that begins now, and what is said. */
function followConversation() {
  const began = performance.now();
  const conversation = new Conversation();
  const show = () => {
    timeline.show(conversation.turns, performance.now() - began);
    turnList.show(conversation.turns);
    const delay = conversation.responseDelay;
    responseDelay.textContent = delay === null ? '' : `answers after ${Math.round(delay)} ms`;
    // It stays away from agents that have no turns.
    conversationPanel.hidden = conversation.turns.length === 0;
  };
  show();
  const timer = setInterval(() => timeline.show(conversation.turns, performance.now() - began), LANE_STEP);
  return {
    /**
     * @param {Parameters<Conversation['handle']>[0]} message
     */
    handle(message) {
      if (conversation.handle(message)) show();
    },
    end() {
      clearInterval(timer);
      conversation.end(performance.now() - began);
      show();
    },
  };
}

/** Shows how long the call has lasted; returns what stops it. */
function runClock() {
  const began = performance.now();
  const show = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  };
  show();
  const timer = setInterval(show, 1000);
  return () => clearInterval(timer);
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function byId(id, type) {
  const node = document.getElementById(id);
  if (!(node instanceof type)) throw new Error(`index.html has no ${type.name} with the id ${id}`);
  return node;
}
