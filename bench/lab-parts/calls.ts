import { setTimeout as pause } from 'node:timers/promises';
import { Caller } from '../call-parts/caller.ts';
import { readStamp } from '../call-parts/stamp.ts';
import { openUdpSocket } from '../../src/net/open-udp-socket.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { percentile } from '../support/stats.ts';
import { rewriteCandidates } from './link.ts';
import { LossCounter } from './loss-counter.ts';
import { type CallerPlace, PLACES, type PlaceName } from './places.ts';
import type { World } from './world.ts';

const FRAME_MS = 20;
const CONNECT_LIMIT_MS = 15_000;

/** `global`: to the relays that the gateway names. `cluster`: to the relay of the call's own cluster and no other. */
export type Way = 'global' | 'cluster';

/** A call of the lab, and what it heard. */
export interface LabCall {
  readonly from: CallerPlace;
  readonly way: Way;
  /** Where it landed. */
  readonly cluster: string;
  /** The relay that it was told to use first. */
  readonly told: PlaceName | null;
  readonly setupMs: number;
  readonly caller: Caller;
  /** When its own frames came back, and when these had left, ms. */
  readonly heardAt: number[];
  readonly sentAt: number[];
  /** When its frames left, ms. */
  readonly leftAt: number[];
  readonly rtp: LossCounter;
  ended: string | null;
}

export interface CallFigures {
  readonly roundTripMs: number;
  readonly jitterMs: number;
  /** Share of the RTP packets that got lost on the way to the caller. */
  readonly loss: number;
  /** Share of the caller's frames that never came back, after all that was sent again. */
  readonly missing: number;
}

/** Sends a frame each 20 ms on all calls that are up. */
export class Switchboard {
  readonly calls = new Set<LabCall>();
  /** Those that are not up yet: their timers have to run, too. */
  readonly #connecting = new Set<Caller>();
  readonly #timer = setInterval(() => this.#tick(), 5);
  readonly #startedAt = performance.now();
  #frames = 0;

  /** Places a call through the nearest gateway. @throws when there is no answer, or no way to it in 15 s. */
  async place(world: World, from: CallerPlace, way: Way): Promise<LabCall> {
    const { latitude, longitude } = PLACES[from];
    let cluster = '';
    let told: PlaceName | null = null;
    let rtp: LossCounter | null = null;
    const caller = await Caller.place(await world.endpoint(from), {
      openSocket: (handler) => openUdpSocket({ address: parseAddress(`${world.callerIp(from)}:0`), handler: (rtp = new LossCounter(handler)) }),
      headers: { 'X-Client-Latitude': String(latitude), 'X-Client-Longitude': String(longitude), 'Earshot-Explain': '1' },
      readAnswer: (answer, headers) => {
        cluster = (JSON.parse(headers.get('earshot-decision') ?? '{}') as { cluster?: string }).cluster ?? '';
        return rewriteCandidates(answer, (address) => {
          const place = world.placeOf(address);
          if (way === 'cluster' && place !== cluster) return null;
          told ??= place;
          return world.route(from, address);
        });
      },
    });
    this.#connecting.add(caller);
    const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error(`no connection from ${from} within 15 s`)), CONNECT_LIMIT_MS).unref());
    await Promise.race([caller.connected, late]).finally(() => this.#connecting.delete(caller));
    const call: LabCall = { from, way, cluster, told, setupMs: caller.setupMs, caller, heardAt: [], sentAt: [], leftAt: [], rtp: rtp!, ended: null };
    caller.onHeard = (payload, at) => {
      call.heardAt.push(at);
      call.sentAt.push(readStamp(payload));
    };
    caller.onEnded = (reason) => (call.ended = reason);
    caller.figures.restart(performance.now());
    this.calls.add(call);
    return call;
  }

  async hangUp(calls: Iterable<LabCall>): Promise<void> {
    for (const call of calls) {
      this.calls.delete(call);
      await call.caller.close();
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.hangUp([...this.calls]);
  }

  #tick(): void {
    const now = performance.now();
    const isFrame = Math.floor((now - this.#startedAt) / FRAME_MS) > this.#frames;
    if (isFrame) this.#frames++;
    for (const call of this.calls) {
      if (call.ended !== null) continue;
      if (isFrame) {
        call.leftAt.push(now);
        call.caller.sendFrame(now);
      }
      call.caller.tick(now);
    }
    for (const caller of this.#connecting) caller.tick(now);
  }
}

/** What has been counted of RTP by now, to take the difference of later. */
export function rtpOf({ rtp: { expected, lost } }: LabCall): { expected: number; lost: number } {
  return { expected, lost };
}

/** Of the frames that left between the two times: the median round trip, the mean change from one to the next, what is missing. */
export function figuresOf(call: LabCall, from: number, to: number): Omit<CallFigures, 'loss'> {
  const trips = call.sentAt.flatMap((at, i) => (at >= from && at < to ? [call.heardAt[i] - at] : []));
  const changes = trips.slice(1).map((trip, i) => Math.abs(trip - trips[i]));
  const sent = call.leftAt.filter((at) => at >= from && at < to).length;
  return {
    roundTripMs: percentile(trips.toSorted((a, b) => a - b), 50),
    jitterMs: changes.reduce((sum, change) => sum + change, 0) / Math.max(1, changes.length),
    missing: Math.max(0, 1 - trips.length / sent),
  };
}

/** The longest time since shortly before `from` in which a call heard nothing, ms. */
export function longestGap({ heardAt }: LabCall, from: number, to: number): number {
  const times = [...heardAt.filter((at) => at > from - 200 && at <= to), to];
  return Math.max(...times.slice(1).map((at, i) => at - times[i]));
}

/** Resolves when all calls that have not ended have heard something since; at most after `limitMs`. */
export async function heardSince(calls: readonly LabCall[], since: number, limitMs: number): Promise<void> {
  const limit = performance.now() + limitMs;
  while (performance.now() < limit && calls.some(({ heardAt, ended }) => ended === null && (heardAt.at(-1) ?? 0) < since)) await pause(20);
}
