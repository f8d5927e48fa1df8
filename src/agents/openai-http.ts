/** The three OpenAI-compatible HTTP endpoints of a voice pipeline, each as one function. */

/** Where a model is served. */
export interface Endpoint {
  /** Base URL up to `/v1`, without a slash at the end. */
  readonly url: string;
  readonly model: string;
  readonly key: string | undefined;
}

/** An endpoint refused, cannot be reached or broke off. The message may be told to callers; where it is and what it said is in the cause. */
export class EndpointError extends Error {
  readonly code = 'endpoint_failed';

  constructor(message: string, options: ErrorOptions) {
    super(message, options);
    this.name = 'EndpointError';
  }
}

export type ChatDelta =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'call'; readonly id: string; readonly name: string; readonly arguments: string };

/** What was said. @param wav a whole WAV file */
export async function transcribe(endpoint: Endpoint, wav: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<string> {
  const form = new FormData();
  form.set('model', endpoint.model);
  form.set('response_format', 'json');
  form.set('file', new Blob([wav], { type: 'audio/wav' }), 'turn.wav');
  const path = 'audio/transcriptions';
  const response = await post(endpoint, path, form, {}, signal);
  try {
    const { text } = (await response.json()) as { text?: string };
    return text?.trim() ?? '';
  } catch (error) {
    throw brokeOff(path, error);
  }
}

/** A chat completion as it is made: text in pieces, function calls whole. */
export async function* chat(endpoint: Endpoint, request: object, signal: AbortSignal): AsyncGenerator<ChatDelta> {
  const path = 'chat/completions';
  const response = await postJson(endpoint, path, { ...request, stream: true }, signal);
  const calls: { id: string; name: string; arguments: string }[] = [];
  for await (const { choices, error } of whole(path, chatChunks(response))) {
    if (error) throw brokeOff(path, new Error(error.message));
    const delta = choices?.[0]?.delta;
    if (delta?.content) yield { type: 'text', text: delta.content };
    for (const { index, id, function: part } of delta?.tool_calls ?? []) {
      const call = (calls[index] ??= { id: '', name: '', arguments: '' });
      call.id ||= id ?? '';
      call.name += part?.name ?? '';
      call.arguments += part?.arguments ?? '';
    }
  }
  for (const call of calls) yield { type: 'call', ...call };
}

/** Speech as it is made, mono 16-bit samples at 24 kHz. Resolves when the first of it is on its way. */
export async function speak(endpoint: Endpoint, input: string, voice: string, signal: AbortSignal): Promise<AsyncIterable<Int16Array>> {
  const request = { model: endpoint.model, input, voice, response_format: 'pcm' };
  const path = 'audio/speech';
  const response = await postJson(endpoint, path, request, signal);
  return whole(path, samplesOf(response.body!));
}

interface ChatChunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly tool_calls?: readonly { index: number; id?: string; function?: { name?: string; arguments?: string } }[];
    };
  }[];
  readonly error?: { readonly message: string };
}

function postJson(endpoint: Endpoint, path: string, body: object, signal: AbortSignal): Promise<Response> {
  const text = JSON.stringify({ ...body, model: endpoint.model });
  return post(endpoint, path, text, { 'Content-Type': 'application/json' }, signal);
}

async function post({ url, key }: Endpoint, path: string, body: string | FormData, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  const authorization = key === undefined ? {} : { Authorization: `Bearer ${key}` };
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
  let response: Response;
  try {
    const either = AbortSignal.any([signal, late.signal]);
    response = await fetch(`${url}/${path}`, { method: 'POST', body, signal: either, headers: { ...headers, ...authorization } });
  } catch (error) {
    throw new EndpointError(`${path} ${late.signal.aborted ? 'does not answer' : 'cannot be reached'}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) return response;
  const said = (await response.text().catch(String)).slice(0, 1000);
  throw new EndpointError(`${path} answered ${response.status}`, { cause: new Error(`${url}: ${said}`) });
}

/** Nobody waits longer on the phone for an answer to begin. */
const ANSWER_MS = 30_000;

function brokeOff(path: string, cause: unknown): EndpointError {
  return new EndpointError(`${path} broke off`, { cause });
}

/** What an endpoint sends, to its end. @throws {EndpointError} when it cannot be read. */
async function* whole<T>(path: string, parts: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* parts;
  } catch (error) {
    throw brokeOff(path, error);
  }
}

async function* chatChunks(response: Response): AsyncGenerator<ChatChunk> {
  for await (const data of serverSentEvents(response)) {
    if (data === '[DONE]') return;
    yield JSON.parse(data) as ChatChunk;
  }
}

async function* serverSentEvents(response: Response): AsyncGenerator<string> {
  let rest = '';
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith('data:')) yield line.slice(5).trim();
  }
  if (rest.startsWith('data:')) yield rest.slice(5).trim();
}

/** Chunks of a stream end anywhere, also between the bytes of a sample. */
async function* samplesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Int16Array> {
  let rest = new Uint8Array(0);
  for await (const chunk of body) {
    const bytes = new Uint8Array(rest.length + chunk.length);
    bytes.set(rest);
    bytes.set(chunk, rest.length);
    rest = bytes.slice(bytes.length & ~1);
    yield new Int16Array(bytes.buffer, 0, bytes.length >> 1);
  }
}
