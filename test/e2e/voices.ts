import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { readWav, trim, type Sound } from '../support/audio.ts';
import { PROJECT } from '../support/paths.ts';

/** A recorded utterance of about two seconds from test/fixtures/audio, without the silence around it. */
export async function utterance(name: 'hello' | 'interrupt'): Promise<Sound> {
  return trim(readWav(await readFile(path.join(PROJECT, 'test/fixtures/audio', `${name}.wav`))));
}
