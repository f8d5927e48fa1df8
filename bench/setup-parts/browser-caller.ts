import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { Chromium } from '../../test/support/chromium.ts';
import { babble } from '../../test/support/audio.ts';
import type { Setup, SetupCaller, SetupTimes } from './setup-times.ts';

export interface BrowserOptions {
  /** `…/v1/realtime/calls` */
  readonly endpoint: string;
  /** Switches of Chromium; none for the browser as it comes. */
  readonly args: readonly string[];
  /** Open the events channel under an id agreed beforehand. */
  readonly negotiated: boolean;
  /** Ask for the answer before the caller wants to talk. */
  readonly ahead: boolean;
}

interface PageResult {
  readonly answerMs: number;
  /** Unix time, ms. */
  readonly appliedAt: number;
  readonly times: Omit<SetupTimes, 'callerAudio'>;
  readonly heardAt: number | null;
}

/** Calls of a real Chromium. */
export class BrowserCaller implements SetupCaller {
  readonly #chromium: Chromium;
  readonly #pages: Server;
  readonly #page: Page;
  readonly #options: BrowserOptions;
  /** What the browser's clock is ahead of this process', ms. */
  readonly #ahead: number;

  private constructor(chromium: Chromium, pages: Server, page: Page, options: BrowserOptions, ahead: number) {
    this.#chromium = chromium;
    this.#pages = pages;
    this.#page = page;
    this.#options = options;
    this.#ahead = ahead;
  }

  static async launch(options: BrowserOptions): Promise<BrowserCaller> {
    const pages = await servePage();
    const chromium = await Chromium.launch({
      microphone: babble(2, 1),
      netLog: false,
      record: false,
      args: options.args,
    });
    const { page } = await chromium.open(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.place !== undefined');
    return new BrowserCaller(chromium, pages, page, options, await clockDifference(page));
  }

  async call(limitMs: number): Promise<Setup> {
    const { endpoint, negotiated, ahead } = this.#options;
    const orders = JSON.stringify({ endpoint, negotiated, ahead, limitMs });
    const { answerMs, times, heardAt, ...there } = await this.#page.evaluate<PageResult>(`place(${orders})`);
    const appliedAt = there.appliedAt - this.#ahead;
    const callerAudio = heardAt === null ? null : heardAt - appliedAt;
    return { answerMs, appliedAt, times: { ...times, callerAudio } };
  }

  async close(): Promise<void> {
    await this.#chromium.close();
    this.#pages.closeAllConnections();
    this.#pages.close();
  }
}

/** On a port of its own: from another origin, as pages that use somebody's API are. */
async function servePage(): Promise<Server> {
  const server = createServer((_request, response) => response.setHeader('Content-Type', 'text/html').end(PAGE));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function clockDifference(page: Page): Promise<number> {
  let best = { took: Number.POSITIVE_INFINITY, ahead: 0 };
  for (let i = 0; i < 20; i++) {
    const before = performance.timeOrigin + performance.now();
    const there = await page.evaluate<number>('performance.timeOrigin + performance.now()');
    const after = performance.timeOrigin + performance.now();
    if (after - before < best.took) best = { took: after - before, ahead: there - (before + after) / 2 };
  }
  return best.ahead;
}

/**
 * Plain WebRTC, with a look at the frames that come, still encoded, for the moment of the first. A thread of its own looks,
 * so that the page's does not make it late; on the way out there is nothing that a caller would not have.
 */
const PAGE = `<!doctype html><title>set-up</title><link rel="icon" href="data:,"><script type="module">
  const watcher = new Worker(URL.createObjectURL(new Blob([\`
    onrtctransform = ({ transformer: { readable, writable } }) => {
      let seen = false;
      const look = new TransformStream({
        transform(frame, controller) {
          if (!seen) postMessage(performance.timeOrigin + performance.now());
          seen = true;
          controller.enqueue(frame);
        },
      });
      void readable.pipeThrough(look).pipeTo(writable).catch(() => {});
    };
  \`])));
  globalThis.place = async ({ endpoint, negotiated, ahead, limitMs }) => {
    // Open before the call, as for a person, but not between calls: six browsers with open microphones are a load.
    const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const at = { ice: null, dtls: null, channel: null, created: null, agentAudio: null };
    let heardAt = null;
    let callId = null;
    let finish;
    const finished = new Promise((resolve) => (finish = resolve));
    const mark = (name, time = performance.now()) => {
      at[name] ??= time;
      if (heardAt !== null && Object.values(at).every((time) => time !== null)) finish();
    };
    pc.addTrack(microphone.getAudioTracks()[0], microphone);
    pc.getReceivers()[0].transform = new RTCRtpScriptTransform(watcher);
    watcher.onmessage = ({ data }) => mark('agentAudio', data - performance.timeOrigin);
    pc.addEventListener('iceconnectionstatechange', () => pc.iceConnectionState === 'connected' && mark('ice'));
    const channel = pc.createDataChannel('oai-events', negotiated ? { negotiated: true, id: 0 } : {});
    channel.addEventListener('open', () => mark('channel'));
    channel.addEventListener('message', ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === 'bench.heard') heardAt = event.at;
      callId ??= event.call_id;
      mark(event.type === 'session.created' ? 'created' : 'channel');
    });
    await pc.setLocalDescription();
    let sent = performance.now();
    const url = new URL(endpoint);
    if (negotiated) url.searchParams.set('dcid', '0');
    if (ahead) url.searchParams.set('instant', 'true');
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
    });
    const sdp = await response.text();
    if (!response.ok) throw new Error(sdp);
    // A caller who has asked ahead wants to talk some time later, when nothing of that is left to do.
    if (ahead) await new Promise((resolve) => setTimeout(resolve, 300));
    const answered = performance.now();
    if (ahead) sent = answered;
    const applying = pc.setRemoteDescription({ type: 'answer', sdp });
    const dtls = pc.sctp?.transport;
    await applying;
    for (const transport of new Set([dtls, pc.sctp.transport])) {
      transport?.addEventListener('statechange', () => transport.state === 'connected' && mark('dtls'));
      if (transport?.state === 'connected') mark('dtls');
    }
    setTimeout(finish, limitMs);
    await finished;
    pc.close();
    for (const track of microphone.getTracks()) track.stop();
    if (callId !== null) await fetch(endpoint + '/' + callId, { method: 'DELETE' });
    const times = Object.fromEntries(Object.entries(at).map(([name, time]) => [name, time === null ? null : time - answered]));
    return { answerMs: answered - sent, appliedAt: performance.timeOrigin + answered, times, heardAt };
  };
</script>`;
