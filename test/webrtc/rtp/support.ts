import { seededRandom } from '../../support/random.ts';

export function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Calls `parse` with 100,000 inputs: half of them noise, half of them the samples, damaged and cut. */
export function fuzz(seed: number, samples: readonly Uint8Array[], parse: (input: Uint8Array, length: number) => void): void {
  const random = seededRandom(seed);
  const buffer = new Uint8Array(600);
  for (let run = 0; run < 100_000; run++) {
    let length = Math.floor(random() * (run % 8 === 0 ? buffer.length : 64));
    if (run % 2 === 0) {
      for (let i = 0; i < length; i++) buffer[i] = random() * 256;
      // Half of the noise gets past the version check.
      if (run % 4 === 0) buffer[0] = 0x80 | (buffer[0] & 0x3f);
    } else {
      const sample = samples[Math.floor(random() * samples.length)];
      buffer.set(sample);
      length = random() < 0.5 ? sample.length : Math.floor(random() * (sample.length + 1));
      for (let i = random() * 4; i > 0; i--) buffer[Math.floor(random() * sample.length)] = random() * 256;
    }
    parse(buffer, length);
  }
}
