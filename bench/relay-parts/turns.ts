import { OtherWork } from '../support/cpu.ts';
import { figure, type Figure } from '../support/stats.ts';
import type { LoadResult } from './load.ts';

/** Cores that anything else on the machine may keep busy while a slice is measured. */
const OTHERS_LIMIT = 0.15;

/** Slices that are measured once more at most in one run, so that its time is bounded on any machine. */
const MAX_REPEATS = 30;

/** Slices; those of them that were measured once more, for something else was at work; those that are disturbed as they stand. */
export interface Disturbance {
  slices: number;
  repeated: number;
  disturbed: number;
}

/**
 * Takes turns: in every round each one is measured for a short slice, each round beginning with another one, so that a
 * machine that changes changes for all. A slice during which something else was at work is measured once more.
 * @returns by key: one result for each round.
 */
export async function takeTurns<Key>(
  keys: readonly Key[],
  rounds: number,
  disturbance: Disturbance,
  measure: (key: Key) => Promise<LoadResult>,
): Promise<Map<Key, LoadResult[]>> {
  const results = new Map<Key, LoadResult[]>(keys.map((key) => [key, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[(i + round) % keys.length];
      results.get(key)!.push(await undisturbed(disturbance, () => measure(key)));
    }
  }
  return results;
}

/** Measures once more what was measured while something else was at work. */
async function undisturbed(disturbance: Disturbance, measure: () => Promise<LoadResult>): Promise<LoadResult> {
  const others = new OtherWork();
  const result = await measure();
  disturbance.slices++;
  if (others.cores() <= OTHERS_LIMIT) return result;
  if (disturbance.repeated === MAX_REPEATS) {
    disturbance.disturbed++;
    return result;
  }
  disturbance.repeated++;
  const again = await measure();
  if (others.cores() > OTHERS_LIMIT) disturbance.disturbed++;
  return again;
}

/** One value as a part of the other, round by round. */
export function ratios(of: readonly number[], to: readonly number[]): Figure {
  return figure(of.map((value, round) => value / to[round]));
}
