import { readFileSync, readdirSync } from 'node:fs';
import type { LocalDescription } from '../../../src/webrtc/sdp/answer.ts';
import { parseAddress } from '../../../src/wire/address.ts';

// Compiled tests run from dist/, fixtures stay where they are.
const FOLDER = new URL('../../../../test/fixtures/sdp/', import.meta.url);

/** All offers by name, without the extension. */
export const OFFERS: ReadonlyMap<string, string> = new Map(
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sdp'))
    .map((file) => [file.slice(0, -4), readFileSync(new URL(file, FOLDER), 'utf8')]),
);

export function offer(name: string): string {
  const text = OFFERS.get(name);
  if (text === undefined) throw new Error(`no fixture ${name}`);
  return text;
}

export const LOCAL: LocalDescription = {
  ufrag: 'EoQ2yX0aB1cD3eF5gH7iJ9k',
  password: 'serverPassword+serverPas',
  fingerprint: { algorithm: 'sha-256', value: Uint8Array.from({ length: 32 }, (_, i) => i * 8) },
  candidates: [{ address: parseAddress('127.0.0.1:3478') }],
  sessionId: '4611686018427387904',
  ssrc: 305_419_896,
  cname: 'earshot',
  streamId: 'agent',
  trackId: 'voice',
  init: null,
};
