import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turnOfLoop } from 'node:timers/promises';

export interface ChatMessage {
  readonly role: string;
  readonly content: string | null;
  readonly tool_calls?: readonly { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }[];
  readonly tool_call_id?: string;
}

export type ChatReply = { readonly text: string } | { readonly call: { readonly id: string; readonly name: string; readonly arguments: string } };

/**
 * A stand-in for the HTTP endpoints of OpenAI that a voice pipeline uses, for tests: no model is behind them. What was
 * "heard" and what is "answered" the test says; speech is a tone of 100 ms a word.
 */
export class OpenAiServer {
  readonly url: string;
  /** Requests as they came: `stt`, `chat`, and `tts` with the sentence. */
  readonly requests: string[] = [];
  readonly chats: { messages: ChatMessage[]; tools?: unknown[]; model: string }[] = [];
  /** Bytes of the WAV files that were transcribed. */
  readonly recordings: number[] = [];
  /** Requests whose client went away before the end of the answer. */
  aborted = 0;
  transcript = 'Hello there.';
  reply: ChatReply = { text: 'Fine.' };
  /** Path that is answered with 500. */
  failing: string | null = null;
  /** Path whose answer breaks off after its beginning. */
  breaking: string | null = null;
  /** Path that is never answered. */
  hanging: string | null = null;
  /** Sentences being spoken, now and at the most. */
  speaking = 0;
  mostSpeaking = 0;
  /** The chat stream stays open after its text. */
  endless = false;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      response.once('close', () => {
        if (!response.writableFinished) this.aborted++;
      });
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  static async start(): Promise<OpenAiServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new OpenAiServer(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.replace('/v1/', '');
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    if (request.headers.authorization !== 'Bearer sk-models') {
      response.writeHead(401).end('{"error":{"message":"No."}}');
    } else if (path === this.failing) {
      response.writeHead(500).end('{"error":{"message":"Overloaded."}}');
    } else if (path === this.hanging) {
      this.requests.push(`${path} hangs`);
    } else if (path === this.breaking) {
      response.writeHead(200, { 'Content-Length': 1000 });
      response.write(path === 'chat/completions' ? 'data: {"choices":[{"delta":{"content":"One two' : '{"text":"One');
      await turnOfLoop();
      response.destroy();
    } else if (path === 'audio/transcriptions') {
      this.requests.push('stt');
      this.recordings.push(body.length - body.indexOf('RIFF'));
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ text: this.transcript }));
    } else if (path === 'chat/completions') {
      this.requests.push('chat');
      this.chats.push(JSON.parse(body.toString()) as OpenAiServer['chats'][number]);
      this.#chat(response);
    } else {
      const { input } = JSON.parse(body.toString()) as { input: string };
      this.requests.push(`tts ${input}`);
      this.mostSpeaking = Math.max(this.mostSpeaking, ++this.speaking);
      response.once('close', () => this.speaking--);
      await speech(input, response);
    }
  }

  /** Text word by word, arguments in two pieces, as models give them. */
  #chat(response: ServerResponse): void {
    const chunk = (delta: object): void => void response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta }] })}\n\n`);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    if ('text' in this.reply) {
      for (const content of this.reply.text.match(/\S+\s*/g) ?? []) chunk({ content });
    } else {
      const { id, name, arguments: json } = this.reply.call;
      chunk({ tool_calls: [{ index: 0, id, type: 'function', function: { name, arguments: '' } }] });
      for (const part of [json.slice(0, 4), json.slice(4)]) chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] });
    }
    if (!this.endless) response.end('data: [DONE]\n\n');
  }
}

/** Pieces of odd lengths: they end within samples. */
async function speech(input: string, response: ServerResponse): Promise<void> {
  const samples = Int16Array.from({ length: 2400 * input.split(' ').length }, (_, i) => 6000 * Math.sin(i / 8));
  const bytes = Buffer.from(samples.buffer);
  response.writeHead(200, { 'Content-Type': 'audio/pcm' });
  for (let at = 0; at < bytes.length; at += 1999) {
    response.write(bytes.subarray(at, at + 1999));
    // The client, in the same process, reads each piece by itself.
    await turnOfLoop();
    await turnOfLoop();
  }
  response.end();
}
