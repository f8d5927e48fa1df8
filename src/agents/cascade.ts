/**
 * Speech to text, a language model, text to speech: any servers with OpenAI's HTTP endpoints.
 *
 *   turn ──► audio/transcriptions ──► chat/completions ──► sentence ──► audio/speech ──► play
 *                                            └───────────► sentence ──► audio/speech ──► play (asked for meanwhile,
 *                                                                                          one sentence ahead)
 *
 * The caller's voice aborts every request of the answer. What the model is told of the conversation are the items of
 * the call: of an answer that was cut short they hold the words that were heard.
 */
import { AudioHistory } from '../media/audio-history.ts';
import type { Agent, AgentCall, AgentResponse, AgentSession, Turn } from './agent.ts';
import { chatRequest } from './chat-request.ts';
import { chat, type Endpoint, EndpointError, speak, transcribe } from './openai-http.ts';
import { Sentences } from './sentences.ts';
import { wavOf } from './wav.ts';

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
    // The client is told of a failure, and an answer fails by it.
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
    const wav = wavOf(this.#heard.slice(turn.startMs, turn.endMs), RATE);
    const transcribing = transcribe(this.#stages.stt, wav, this.#call.signal);
    await Promise.allSettled([transcribing, before]);
    try {
      const words = await transcribing;
      this.#call.transcribed(turn, words);
      return words;
    } catch (error) {
      this.#call.transcribed(turn, null, error instanceof EndpointError ? error.message : 'the words could not be found');
      throw error;
    }
  }

  async #speak(response: AgentResponse): Promise<void> {
    const { signal, session } = response;
    const voice = typeof session.audio.output.voice === 'string' ? session.audio.output.voice : 'alloy';
    const silent = !session.output_modalities.includes('audio');
    const sentences = new Sentences();
    let playing: Promise<void> = Promise.resolve();
    let earlier: Promise<void> = playing;
    const say = (sentence: string): void => {
      const before = playing;
      const speech = silent ? null : earlier.then(() => speak(this.#stages.tts, sentence.trim(), voice, signal));
      earlier = before;
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

function endpoint({ upstream, upstreamKey }: CascadeSettings, text: string): Endpoint {
  const at = text.lastIndexOf('#');
  const url = at === -1 ? upstream : text.slice(0, at);
  if (!url || !/^https?:\/\//.test(url) || !URL.canParse(url)) {
    throw new TypeError(`say with --upstream https://…/v1 where "${text.slice(at + 1)}" is served`);
  }
  return { url: url.replace(/\/+$/, ''), model: text.slice(at + 1), key: upstreamKey };
}
