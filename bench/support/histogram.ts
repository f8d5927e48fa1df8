/**
 * The p-th percentile of a Prometheus histogram, in proportion within its bucket; NaN when it is empty.
 * @param text of `/metrics`
 * @param series name and labels as they stand there: `earshot_answer_seconds`, `part="whole"`
 */
export function histogramPercentile(text: string, name: string, label: string, p: number): number {
  const buckets = text.split('\n').flatMap((line) => {
    if (!line.startsWith(`${name}_bucket{`) || !line.includes(label)) return [];
    const [, limit, count] = /le="([^"]+)".*\} (\d+)/.exec(line) ?? [];
    return [{ limit: limit === '+Inf' ? Number.POSITIVE_INFINITY : Number(limit), count: Number(count) }];
  });
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return Number.NaN;
  const wanted = (p / 100) * total;
  const i = buckets.findIndex(({ count }) => count >= wanted);
  const below = buckets[i - 1] ?? { limit: 0, count: 0 };
  const { limit, count } = buckets[i];
  if (limit === Number.POSITIVE_INFINITY) return below.limit;
  return below.limit + ((wanted - below.count) / (count - below.count)) * (limit - below.limit);
}
