import { readFileSync } from 'node:fs';

/** The version of the package, seen from the compiled file. */
export const VERSION: string = readVersion(new URL('../../../package.json', import.meta.url));

function readVersion(file: URL): string {
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
