import { type LoadResult, lossPercent } from './load.ts';

export const MAX_LOSS_PERCENT = 0.1;
/** Where the search begins. */
export const LOWEST_RATE = 30_000;
/** Each rate is tried so often: what is sought is what a relay can do, not what a neighbour's burst leaves of it. */
const TRIES = 3;
/** A generator that sends less than this part of what it is asked for does no more. */
const GENERATOR_KEEPS_UP = 0.97;

export interface MaxRate {
  /** Round trips a second below {@link MAX_LOSS_PERCENT}. */
  readonly rate: number;
  /** The load generator, which shares the cores, could send no more: the relay might have carried it. */
  readonly generatorLimited: boolean;
}

/** Raises the rate by `step` until it is not carried in any of three tries. */
export async function findMaxRate(step: number, load: (rate: number) => Promise<LoadResult>): Promise<MaxRate> {
  let best = 0;
  for (let rate = LOWEST_RATE; ; rate *= step) {
    const result = await firstCarried(() => load(rate));
    if (result === null) return { rate: best, generatorLimited: false };
    best = Math.max(best, result.rate);
    if (result.rate < rate * GENERATOR_KEEPS_UP) return { rate: best, generatorLimited: true };
  }
}

async function firstCarried(load: () => Promise<LoadResult>): Promise<LoadResult | null> {
  for (let i = 0; i < TRIES; i++) {
    const result = await load();
    if (lossPercent(result) <= MAX_LOSS_PERCENT) return result;
  }
  return null;
}
