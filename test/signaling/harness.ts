import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { CallError, type AnswerAhead, type CallAnswer, type CallObservation, type CallObserver, type CallRequest, type CallService, type IceUpdate } from '../../src/signaling/call-service.ts';
import { createHttpServer, type HttpServerOptions } from '../../src/signaling/http-server.ts';
import { createLogger } from '../../src/observe/log.ts';
import { parseAddress } from '../../src/wire/address.ts';

export const API_KEY = 'key-of-the-tests';
export const SECRET = 'a deployment secret for tests';
export const OFFER = 'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n';
export const ANSWER = 'v=0\r\no=- 2 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n';
/** Of answers ahead, Unix seconds. */
export const EXPIRES_AT = 4_000_000_000;
export const FRAGMENT = 'a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n';

/** The machinery behind the API as a table: enough to see what the HTTP layer asks and how it answers. */
export class FakeCalls implements CallService {
  readonly agents = ['parrot', 'echo'];
  readonly requests: CallRequest[] = [];
  readonly hangups: { id: string; reason: string }[] = [];
  readonly live = new Map<string, { etag: string }>();
  readonly observers = new Set<CallObserver>();
  /** What observers have sent. */
  readonly observed: string[] = [];
  /** Replaces the answer to the next offers. */
  onCreate: ((request: CallRequest) => Promise<CallAnswer>) | null = null;

  async createCall(request: CallRequest): Promise<CallAnswer> {
    this.requests.push(request);
    if (this.onCreate) return this.onCreate(request);
    if (!request.offer.startsWith('v=0')) {
      throw new CallError(400, 'invalid_offer', 'The offer does not begin with v=0.', { param: 'sdp line 1' });
    }
    const id = `rtc_${this.requests.length}`;
    this.live.set(id, { etag: 'ice-1' });
    return { id, answer: ANSWER, etag: 'ice-1', busySeconds: 0.001 };
  }

  async answerAhead(request: CallRequest, notAfter = Infinity): Promise<AnswerAhead> {
    this.requests.push(request);
    return { answer: ANSWER, expiresAt: Math.min(EXPIRES_AT, notAfter) };
  }

  async hangup(id: string, reason: string): Promise<boolean> {
    this.hangups.push({ id, reason });
    return this.live.delete(id);
  }

  async observe(id: string, observer: CallObserver): Promise<CallObservation> {
    if (!this.live.has(id)) throw new CallError(404, 'call_not_found', `There is no call "${id}".`);
    this.observers.add(observer);
    observer.event('{"type":"session.created"}');
    return { send: (json) => this.observed.push(json), stop: () => void this.observers.delete(observer) };
  }

  async restartIce(id: string, fragment: string, ifMatch: '*' | readonly string[]): Promise<IceUpdate> {
    const call = this.live.get(id);
    if (!call) throw new CallError(404, 'call_not_found', `There is no call "${id}".`);
    if (ifMatch !== '*' && !ifMatch.includes(call.etag)) throw new CallError(412, 'etag_mismatch', 'Another ICE session is current.');
    if (!fragment.includes('a=ice-ufrag:')) return { fragment: null, etag: call.etag };
    call.etag = 'ice-2';
    return { fragment: 'a=ice-ufrag:new\r\n', etag: call.etag };
  }
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly calls: FakeCalls;
  readonly log: string[];
  /** Posts JSON, SDP or a form with the API key, or with `key`; null sends no Authorization. */
  post(path: string, body: unknown, options?: { key?: string | null; type?: string; headers?: Record<string, string> }): Promise<Response>;
}

export async function startServer(overrides: Partial<HttpServerOptions> = {}): Promise<TestServer> {
  const calls = new FakeCalls();
  const log: string[] = [];
  const server = await createHttpServer({
    calls,
    apiKey: API_KEY,
    secret: SECRET,
    metrics: async () => '# no metrics\n',
    ready: () => true,
    logger: createLogger({ level: 'debug', pretty: false, write: (line) => log.push(line) }),
    ...overrides,
  });
  const { port } = await server.listen(parseAddress('127.0.0.1:0'));
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    calls,
    log,
    post(path, body, { key = API_KEY, type, headers = {} } = {}) {
      const isForm = body instanceof FormData;
      const contentType = type ?? (isForm ? undefined : typeof body === 'string' ? 'application/sdp' : 'application/json');
      return fetch(url + path, {
        method: 'POST',
        headers: {
          ...(key === null ? {} : { Authorization: `Bearer ${key}` }),
          ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
          ...headers,
        },
        body: isForm || typeof body === 'string' ? body : JSON.stringify(body),
      });
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

/** Sends bytes on a bare socket and returns everything that comes back until the server closes. */
export function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}); // A reset after the answer is no failure here.
  socket.write(bytes);
  return text(socket);
}

export interface ApiErrorBody {
  error: { type: string; code: string; message: string; param: string | null };
}

export async function errorOf(response: Response): Promise<ApiErrorBody['error']> {
  return ((await response.json()) as ApiErrorBody).error;
}
