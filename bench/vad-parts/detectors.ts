import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import loadFvad, { VADEvent, VADMode } from '@ozymandiasthegreat/vad';
import { FvadVoiceDetector } from '../../src/media/voice-activity.ts';

/** One way to tell speech. */
export interface Candidate {
  readonly name: string;
  readonly licence: string;
  /** Of the frames it takes. */
  readonly rate: 16_000 | 48_000;
  readonly frameMs: number;
  /** How likely each frame is speech, 0 to 1. A new stream each time. */
  open(): Promise<{ process(frame: Int16Array, echoing: boolean): number | Promise<number>; close(): void }>;
}

/** Those that are installed, and a sentence on each that is not. */
export async function loadCandidates(): Promise<{ candidates: Candidate[]; missing: string[] }> {
  const candidates: Candidate[] = [gated, fvad];
  const missing: string[] = [];
  for (const load of [loadRnnoise, loadSilero]) {
    try {
      candidates.push(await load());
    } catch (error) {
      missing.push(error instanceof Error ? error.message.split('\n')[0] : String(error));
    }
  }
  return { candidates, missing };
}

const gated: Candidate = {
  name: 'fvad + room level',
  licence: 'BSD-3',
  rate: 16_000,
  frameMs: 10,
  open: () => Promise.resolve(new FvadVoiceDetector(16_000)),
};

const fvad: Candidate = {
  name: 'fvad alone',
  licence: 'BSD-3',
  rate: 16_000,
  frameMs: 10,
  async open() {
    const Fvad = await loadFvad();
    const detector = new Fvad(VADMode.AGGRESSIVE, 16_000);
    return {
      process: (frame) => (detector.processFrame(frame.slice()) === VADEvent.VOICE ? 1 : 0),
      close: () => detector.destroy(),
    };
  },
};

interface RnnoiseModule {
  readonly HEAPF32: Float32Array;
  _malloc(bytes: number): number;
  _rnnoise_create(model: number): number;
  _rnnoise_process_frame(state: number, out: number, input: number): number;
  _rnnoise_destroy(state: number): void;
}

async function loadRnnoise(): Promise<Candidate> {
  const { default: make } = (await import(optional('@echogarden/rnnoise-wasm'))) as { default: () => Promise<RnnoiseModule> };
  const rnnoise = await make();
  const memory = rnnoise._malloc(480 * 4);
  return {
    name: 'RNNoise',
    licence: 'BSD-3',
    rate: 48_000,
    frameMs: 10,
    open() {
      const state = rnnoise._rnnoise_create(0);
      return Promise.resolve({
        process(frame: Int16Array) {
          rnnoise.HEAPF32.set(frame, memory / 4);
          return rnnoise._rnnoise_process_frame(state, memory, memory);
        },
        close: () => rnnoise._rnnoise_destroy(state),
      });
    },
  };
}

interface Tensor {
  readonly data: Float32Array;
}

interface OnnxModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>> }>;
  };
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, shape: readonly number[]) => Tensor;
}

/** Frames of 32 ms, each seen with the 4 ms before it. */
async function loadSilero(): Promise<Candidate> {
  const { default: onnx } = (await import(optional('onnxruntime-node'))) as { default: OnnxModule };
  const model = readFileSync(createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx'));
  const session = await onnx.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const sr = new onnx.Tensor('int64', BigInt64Array.of(16_000n), []);
  return {
    name: 'Silero 5',
    licence: 'MIT',
    rate: 16_000,
    frameMs: 32,
    open() {
      let state = new onnx.Tensor('float32', new Float32Array(256), [2, 1, 128]);
      const input = new Float32Array(64 + 512);
      return Promise.resolve({
        async process(frame: Int16Array) {
          input.copyWithin(0, 512);
          for (let i = 0; i < frame.length; i++) input[64 + i] = frame[i] / 32_768;
          const result = await session.run({ input: new onnx.Tensor('float32', input, [1, 576]), state, sr });
          state = result['stateN'];
          return result['output'].data[0];
        },
        close: () => undefined,
      });
    },
  };
}

/** Keeps the compiler from looking for a package that need not be there. */
function optional(name: string): string {
  return name;
}
