import type { Upstream } from './upstream.ts';

/** What `GET /readyz` of a cluster or a relay said. */
export type Probe =
  | { readonly type: 'answered'; readonly ready: boolean; readonly calls: number | null; readonly capacity: number | null }
  | { readonly type: 'failed' };

/** How long a probe may take, ms. */
const PROBE_TIMEOUT_MS = 2_000;
/** Between probes of what answers, ms. */
const PROBE_INTERVAL_MS = 1_000;
/** Between probes of what does not, at most, ms: the time doubles from the interval on. */
const MAX_PROBE_INTERVAL_MS = 8_000;

/** When to probe: what does not answer more and more seldom. Pure: `now` is monotonic, ms. */
export class ProbeTimes {
  /** When the next probe is due. */
  nextAt = Number.NEGATIVE_INFINITY;
  #failed = 0;

  handleProbe({ type }: Probe, now: number): void {
    const failedBefore = type === 'failed' ? this.#failed : 0;
    this.nextAt = now + Math.min(PROBE_INTERVAL_MS * 2 ** failedBefore, MAX_PROBE_INTERVAL_MS);
    this.#failed = type === 'failed' ? failedBefore + 1 : 0;
  }

  /** Something else than a probe tells that it is time for one. */
  hasten(now: number): void {
    this.nextAt = Math.min(this.nextAt, now);
  }
}

/** Asks a server of Earshot whether it is ready. Never rejects. */
export async function askReadiness(upstream: Upstream, origin: string): Promise<Probe> {
  try {
    const { status, headers } = await upstream.request({ method: 'GET', origin, path: '/readyz', headers: {}, body: null, timeoutMs: PROBE_TIMEOUT_MS });
    // A proxy on the way that finds nobody answers for itself, as with 502 or 504.
    if (status !== 200 && status !== 503) return { type: 'failed' };
    return { type: 'answered', ready: status === 200, calls: count(headers['earshot-calls']), capacity: count(headers['earshot-capacity']) };
  } catch {
    return { type: 'failed' };
  }
}

function count(header: string | string[] | undefined): number | null {
  return typeof header === 'string' && /^\d{1,9}$/.test(header) ? Number(header) : null;
}
