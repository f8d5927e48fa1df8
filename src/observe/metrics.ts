import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * The present value of one time series that somebody else keeps: hot paths and worker threads count in plain numbers,
 * which are read only when Prometheus asks. A name that ends in `_total` is a counter, any other a gauge. Readings of
 * the same name must have the same help and the same label names.
 */
export interface MetricReading {
  /** `earshot_…`, in base units (seconds, bytes). */
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The present values of one histogram that somebody else keeps. Readings of one name must follow each other. */
export interface HistogramReading extends Omit<MetricReading, 'value'> {
  /** Upper bounds of the buckets, ascending. */
  readonly bounds: readonly number[];
  /** Observations by bucket, each on its own; the last one is for what is beyond the bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Called at every scrape, so series may come and go with the workers and calls they describe. */
export type MetricReader = () => readonly (MetricReading | HistogramReading)[] | Promise<readonly (MetricReading | HistogramReading)[]>;

/** The metrics of one process. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #readers: MetricReader[] = [];
  readonly #known = new Map<string, Counter | Gauge>();
  readonly #requests: Counter<'method' | 'route' | 'status'>;
  readonly #durations: Histogram<'method' | 'route'>;
  readonly #answers: Histogram<'part'>;

  /** Registers what every role has: process and event-loop figures under their usual names, build info, HTTP. */
  constructor(version: string, role: string) {
    collectDefaultMetrics({ register: this.#registry });
    new Gauge({
      name: 'earshot_build_info',
      help: 'Always 1; the labels name the running version and the role of this process.',
      labelNames: ['version', 'role'],
      registers: [this.#registry],
    }).set({ version, role }, 1);
    this.#requests = new Counter({
      name: 'earshot_http_requests_total',
      help: 'HTTP requests answered, by method, route and status code.',
      labelNames: ['method', 'route', 'status'],
      registers: [this.#registry],
    });
    this.#durations = new Histogram({
      name: 'earshot_http_request_duration_seconds',
      help: 'Time from the head of an HTTP request to the end of its answer, by method and route.',
      labelNames: ['method', 'route'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers: [this.#registry],
    });
    this.#answers = new Histogram({
      name: 'earshot_answer_seconds',
      help: 'Time from an SDP offer read to its answer written: the whole of it, and the time that event loops computed for it: all, the thread of HTTP, that of the call.',
      labelNames: ['part'],
      buckets: [0.0005, 0.00075, 0.001, 0.00125, 0.0015, 0.00175, 0.002, 0.0025, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25],
      registers: [this.#registry],
    });
  }

  /** Counts one offer answered: how long it took in all, and what the threads of HTTP and of the call computed for it. */
  countAnswer({ seconds, httpSeconds, busySeconds }: { seconds: number; httpSeconds: number; busySeconds: number }): void {
    this.#answers.observe({ part: 'whole' }, seconds);
    this.#answers.observe({ part: 'event_loop' }, httpSeconds + busySeconds);
    this.#answers.observe({ part: 'http_thread' }, httpSeconds);
    this.#answers.observe({ part: 'call_thread' }, busySeconds);
  }

  add(reader: MetricReader): void {
    this.#readers.push(reader);
  }

  /** Counts one answered HTTP request. `route` is the pattern, not the path: call ids would make endless series. */
  countRequest(request: { method: string; route: string; status: number; seconds: number }): void {
    const { method, route, status, seconds } = request;
    this.#requests.inc({ method, route, status });
    this.#durations.observe({ method, route }, seconds);
  }

  /** The Prometheus text format, version 0.0.4. */
  async text(): Promise<string> {
    const readings = await Promise.all(this.#readers.map(async (read) => read()));
    for (const metric of this.#known.values()) metric.reset();
    const histograms: HistogramReading[] = [];
    for (const reading of readings.flat()) {
      if ('counts' in reading) histograms.push(reading);
      else this.#metricOf(reading).inc(reading.labels ?? {}, reading.value);
    }
    return (await this.#registry.metrics()) + histogramText(histograms);
  }

  #metricOf({ name, help, labels = {} }: MetricReading): Counter | Gauge {
    let metric = this.#known.get(name);
    if (!metric) {
      const definition = { name, help, labelNames: Object.keys(labels), registers: [this.#registry] };
      metric = name.endsWith('_total') ? new Counter(definition) : new Gauge(definition);
      this.#known.set(name, metric);
    }
    return metric;
  }
}

/** prom-client's histograms can only be observed into, so those that others keep are written here, in its format. */
function histogramText(readings: readonly HistogramReading[]): string {
  const lines: string[] = [];
  let described = '';
  for (const { name, help, labels = {}, bounds, counts, sum } of readings) {
    if (name !== described) lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`);
    described = name;
    const own = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    let total = 0;
    for (const [i, count] of counts.entries()) {
      total += count;
      lines.push(`${name}_bucket{${[...own, `le="${bounds[i] ?? '+Inf'}"`].join(',')}} ${total}`);
    }
    const set = own.length > 0 ? `{${own.join(',')}}` : '';
    lines.push(`${name}_sum${set} ${sum}`, `${name}_count${set} ${total}`);
  }
  return lines.length > 0 ? `\n${lines.join('\n')}\n` : '';
}
