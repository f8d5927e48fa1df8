/** Median with the extremes, as every figure of a bench is given. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function figure(values: readonly number[]): Figure {
  const sorted = values.toSorted((a, b) => a - b);
  return { median: percentile(sorted, 50), min: sorted[0], max: sorted[sorted.length - 1] };
}

/** Of values in any order. NaN for none. */
export function median(values: readonly number[]): number {
  return percentile(values.toSorted((a, b) => a - b), 50);
}

/** The p-th percentile of ascending values, between neighbours by proportion. NaN for none. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (p / 100) * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** `4.31 (4.20–4.55)` */
export function formatFigure({ median, min, max }: Figure, digits = 2): string {
  const text = (value: number): string => value.toFixed(digits);
  return min === max ? text(median) : `${text(median)} (${text(min)}–${text(max)})`;
}
