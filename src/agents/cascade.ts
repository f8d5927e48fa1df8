/**
 * Speech to text, a language model, text to speech: any servers with OpenAI's HTTP endpoints.
 *
 *   turn ──► audio/transcriptions ──► chat/completions ──► sentence ──► audio/speech ──► play
 *                                            └───────────► sentence ──► audio/speech ──► play (asked for meanwhile)
 *
 * The caller's voice aborts every request of the answer. What the model is told of the conversation are the items of
 * the call: of an answer that was cut short they hold the words that were heard.
 */
import { AudioHistory } from '../media/audio-history.ts';
import type { Agent, AgentCall, AgentItem, AgentResponse, AgentSession, Turn } from './agent.ts';
import { chat, type Endpoint, EndpointError, speak, transcribe } from './openai-http.ts';
import { Sentences } from './sentences.ts';

export interface CascadeSettings {
  /** Base URL of the models that name none. */
  readonly upstream?: string;
  readonly upstreamKey?: string;
  /** `model` or `base-url#model`, for each stage. */
  readonly stt?: string;
  readonly llm?: string;
  readonly tts?: string;
}

interface Stages {
  readonly stt: Endpoint;
  readonly llm: Endpoint;
  readonly tts: Endpoint;
}

const RATE = 24_000;
const LONGEST_TURN_MS = 120_000;
/** What is remembered while nobody speaks: a turn begins a little before it is noticed. */
const LEAD_MS = 1_000;

/** @throws {TypeError} without a URL for each stage. */
export function cascade(settings: CascadeSettings): Agent {
  const stages = {
    stt: endpoint(settings, settings.stt ?? 'whisper-1'),
    llm: endpoint(settings, settings.llm ?? 'gpt-4o-mini'),
    tts: endpoint(settings, settings.tts ?? 'tts-1'),
  };
  return { name: 'cascade', format: { codec: 'pcm16', rate: RATE }, open: (call) => new Cascade(call, stages) };
}

class Cascade implements AgentSession {
  readonly #call: AgentCall;
  readonly #stages: Stages;
  readonly #heard = new AudioHistory(RATE);
  #speaking = false;
  /** What was said in the last turn; the turns before it are known by then. */
  #transcribing: Promise<string> = Promise.resolve('');

  constructor(call: AgentCall, stages: Stages) {
    this.#call = call;
    this.#stages = stages;
  }

  audio(samples: Int16Array): void {
    this.#heard.write(samples);
    const pushToTalk = this.#call.session.audio.input.turn_detection === null;
    this.#heard.keep(this.#speaking || pushToTalk ? LONGEST_TURN_MS : LEAD_MS);
  }

  speechStarted(): void {
    this.#speaking = true;
  }

  /** Also when no answer follows, or the caller goes on: every turn is part of the conversation. */
  speechStopped(turn: Turn): void {
    this.#speaking = false;
    this.#transcribing = this.#transcribe(turn, this.#transcribing);
    // An answer tells of the failure; without one there is nobody to tell.
    this.#transcribing.catch(() => {});
  }

  async answer(response: AgentResponse, turn: Turn | null): Promise<void> {
    try {
      const words = await this.#transcribing;
      // A cough is a turn without words, and no question. (A turn that was not detected was meant.)
      const noise = words === '' && turn !== null && turn.lastSpeechMs < turn.endMs;
      if (!response.signal.aborted && !noise) await this.#speak(response);
    } catch (error) {
      if (response.signal.aborted) return;
      response.fail(error instanceof EndpointError ? error.message : 'the answer could not be made', error);
    }
  }

  async #transcribe(turn: Turn, before: Promise<unknown>): Promise<string> {
    const wav = wavOf(this.#heard.slice(turn.startMs, turn.endMs));
    const words = await transcribe(this.#stages.stt, wav, this.#call.signal);
    await before.catch(() => {});
    this.#call.transcribed(turn, words);
    return words;
  }

  async #speak(response: AgentResponse): Promise<void> {
    const { signal, session } = response;
    const voice = typeof session.audio.output.voice === 'string' ? session.audio.output.voice : 'alloy';
    const silent = !session.output_modalities.includes('audio');
    const sentences = new Sentences();
    let playing: Promise<void> = Promise.resolve();
    const say = (sentence: string): void => {
      const before = playing;
      const speech = silent ? null : speak(this.#stages.tts, sentence.trim(), voice, signal);
      playing = (async () => {
        const [audio] = await Promise.all([speech, before]);
        response.text(sentence);
        for await (const samples of audio ?? []) response.play(samples);
      })();
      // It is awaited at the end; until then a failure must not count as forgotten.
      playing.catch(() => {});
    };
    for await (const delta of chat(this.#stages.llm, chatRequest(session, this.#call.items), signal)) {
      if (delta.type === 'text') for (const sentence of sentences.add(delta.text)) say(sentence);
      else {
        await playing;
        response.callFunction({ name: delta.name, arguments: delta.arguments, callId: delta.id });
      }
    }
    for (const sentence of sentences.end()) say(sentence);
    await playing;
  }
}

function chatRequest(session: AgentResponse['session'], items: readonly AgentItem[]): object {
  const tools = (session.tools as { type: string; name: string; description?: string; parameters?: object }[])
    .filter(({ type }) => type === 'function')
    .map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } }));
  const system = session.instructions === '' ? [] : [{ role: 'system', content: session.instructions }];
  return {
    messages: [...system, ...items.flatMap(chatMessage)],
    ...(tools.length === 0 ? {} : { tools, tool_choice: toolChoice(session['tool_choice']) }),
    ...(typeof session['max_output_tokens'] === 'number' ? { max_tokens: session['max_output_tokens'] } : {}),
  };
}

/** A function that is asked for by name is named one level deeper in chats. */
function toolChoice(choice: unknown): unknown {
  const { type, name } = (typeof choice === 'object' ? choice : null) as { type?: string; name?: string } ?? {};
  return type === 'function' ? { type, function: { name } } : choice;
}

function chatMessage(item: AgentItem): object[] {
  if (item.type === 'function_call') {
    const call = { id: item['call_id'], type: 'function', function: { name: item['name'], arguments: item['arguments'] } };
    return [{ role: 'assistant', content: null, tool_calls: [call] }];
  }
  if (item.type === 'function_call_output') return [{ role: 'tool', tool_call_id: item['call_id'], content: item['output'] }];
  const parts = (item['content'] ?? []) as { text?: string; transcript?: string | null }[];
  const content = parts.map(({ text, transcript }) => text ?? transcript ?? '').join(' ').trim();
  return content === '' ? [] : [{ role: item['role'], content }];
}

function endpoint({ upstream, upstreamKey }: CascadeSettings, text: string): Endpoint {
  const at = text.lastIndexOf('#');
  const url = at === -1 ? upstream : text.slice(0, at);
  if (!url || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new TypeError(`say with --upstream https://…/v1 where "${text.slice(at + 1)}" is served`);
  }
  return { url: url.replace(/\/+$/, ''), model: text.slice(at + 1), key: upstreamKey };
}

/** RIFF WAVE, one PCM channel of 16 bits. */
function wavOf(samples: Int16Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(44 + samples.byteLength);
  const view = new DataView(bytes.buffer);
  for (const [at, name] of [[0, 'RIFF'], [8, 'WAVE'], [12, 'fmt '], [36, 'data']] as const) bytes.set(Buffer.from(name), at);
  view.setUint32(4, 36 + samples.byteLength, true);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  view.setUint32(40, samples.byteLength, true);
  bytes.set(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength), 44);
  return bytes;
}
