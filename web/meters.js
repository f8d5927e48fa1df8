/**
 * A level meter: the last moments of a sound as a row of bars that wander away from the centre of the page.
 * Drawn on a canvas in the element's text colour; at rest it is a row of dots.
 */

/** How long one bar lasts, in milliseconds, and its geometry in CSS pixels. */
const BAR_TIME = 60;
const BAR_WIDTH = 4;
const BAR_STEP = 9;
/** Levels are shown from this many decibels below full scale up to 0. */
const FLOOR_DB = -52;

export class Meter {
  #canvas;
  #outward;
  #context;
  /** @type {AnalyserNode | null} */
  #analyser = null;
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  #samples = new Float32Array(1024);
  /** Newest first, 0 to 1. @type {number[]} */
  #levels = [];
  #barBegan = 0;
  #frame = 0;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {'left' | 'right'} outward where the past wanders to
   */
  constructor(canvas, outward) {
    this.#canvas = canvas;
    this.#outward = outward;
    this.#context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#draw());
  }

  /**
   * Begins to show `stream`.
   * @param {AudioContext} audio
   * @param {MediaStream} stream
   */
  attach(audio, stream) {
    this.detach();
    this.#analyser = audio.createAnalyser();
    this.#analyser.fftSize = this.#samples.length;
    this.#source = audio.createMediaStreamSource(stream);
    this.#source.connect(this.#analyser);
    this.#tick(performance.now());
  }

  /** Back to rest. Idempotent. */
  detach() {
    cancelAnimationFrame(this.#frame);
    this.#source?.disconnect();
    this.#source = null;
    this.#analyser = null;
    this.#levels.length = 0;
    this.#draw();
  }

  /**
   * @param {number} now
   */
  #tick(now) {
    const level = this.#level();
    if (now - this.#barBegan >= BAR_TIME) {
      this.#barBegan = now;
      this.#levels.unshift(level);
      this.#levels.length = Math.min(this.#levels.length, this.#capacity());
    } else {
      this.#levels[0] = Math.max(this.#levels[0] ?? 0, level);
    }
    this.#draw();
    this.#frame = requestAnimationFrame((at) => this.#tick(at));
  }

  /** 0 to 1, linear in decibels. */
  #level() {
    if (!this.#analyser) return 0;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let energy = 0;
    for (const sample of this.#samples) energy += sample * sample;
    const decibels = 10 * Math.log10(energy / this.#samples.length + 1e-12);
    return Math.min(1, Math.max(0, 1 - decibels / FLOOR_DB));
  }

  #capacity() {
    return Math.ceil(this.#canvas.clientWidth / BAR_STEP);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    const context = this.#context;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    context.fillStyle = getComputedStyle(this.#canvas).color;
    const count = this.#capacity();
    for (let i = 0; i < count; i++) {
      const level = this.#levels[i] ?? 0;
      const length = Math.max(BAR_WIDTH, level * height);
      const offset = i * BAR_STEP;
      const x = this.#outward === 'left' ? width - BAR_WIDTH - offset : offset;
      context.globalAlpha = (level > 0.02 ? 1 : 0.35) * (1 - (0.85 * i) / count);
      context.beginPath();
      context.roundRect(x, (height - length) / 2, BAR_WIDTH, length, BAR_WIDTH / 2);
      context.fill();
    }
  }
}
