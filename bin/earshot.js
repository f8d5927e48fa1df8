#!/usr/bin/env node
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/cli/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('earshot: this clone is not compiled yet; run `npm run build` first (`npm start` does it for you).\n');
  process.exit(1);
}
await import(main.href);
