import type { ConversationCounters } from '../conversation/conversation-port.ts';
import type { MetricReading } from '../observe/metrics.ts';
import type { SessionStats } from '../webrtc/index.ts';
import { LATENESS_BOUNDS_MS, type MediaClock } from './media-clock.ts';

/** How the callers' audio came through; also the metrics' names. */
const MEDIA_COUNTS = {
  audio_packets_lost: 'Packets of callers that did not arrive, repeated ones not counted.',
  audio_packets_redundant: 'Packets of callers that carried older frames as well (RFC 2198).',
  audio_frames_recovered: 'Frames of lost packets that came as redundancy in a later one.',
  audio_frames_restored: "Frames of lost packets that the next one's forward error correction brought back.",
  audio_frames_concealed: 'Frames that did not come in time and were concealed.',
  audio_packets_late: 'Packets of callers that came after their frame was given up.',
  audio_underruns: 'Times an answer ran dry because its agent was slower than real time.',
} as const;
export type MediaCounts = Record<keyof typeof MEDIA_COUNTS, number>;

/** What one call has counted so far. */
export function mediaCounts(rtp: SessionStats | null, { uplink, underruns }: ConversationCounters): MediaCounts {
  return {
    audio_packets_lost: Math.max(0, rtp?.packetsLost ?? 0),
    audio_packets_redundant: rtp?.packetsRedundant ?? 0,
    audio_frames_recovered: rtp?.framesRecovered ?? 0,
    audio_frames_restored: uplink?.restored ?? 0,
    audio_frames_concealed: uplink?.concealed ?? 0,
    audio_packets_late: uplink?.late ?? 0,
    audio_underruns: underruns,
  };
}

/** The sum over all calls of a shard, those that ended included. */
export class MediaTotals {
  readonly #ended: MediaCounts = Object.fromEntries(Object.keys(MEDIA_COUNTS).map((name) => [name, 0])) as MediaCounts;

  ended(counts: MediaCounts): void {
    add(this.#ended, counts);
  }

  readings(live: Iterable<MediaCounts>, clock: Pick<MediaClock<unknown>, 'skipped' | 'ticksByLateness'>): MetricReading[] {
    const sum = { ...this.#ended };
    for (const counts of live) add(sum, counts);
    const names = Object.keys(MEDIA_COUNTS) as (keyof MediaCounts)[];
    return [
      ...names.map((name) => ({ name: `earshot_${name}_total`, help: MEDIA_COUNTS[name], value: sum[name] })),
      ...clock.ticksByLateness.map((value, i) => ({
        name: 'earshot_media_clock_ticks_total',
        help: 'Turns of the media clock, by how many milliseconds late at the most their packets were handed over.',
        labels: { late_ms: LATENESS_BOUNDS_MS[i] === Infinity ? 'more' : String(LATENESS_BOUNDS_MS[i]) },
        value,
      })),
      {
        name: 'earshot_media_clock_skipped_total',
        help: 'Frame times skipped because the thread woke up too late.',
        value: clock.skipped,
      },
    ];
  }
}

function add(sum: MediaCounts, counts: MediaCounts): void {
  for (const name of Object.keys(sum) as (keyof MediaCounts)[]) sum[name] += counts[name];
}
