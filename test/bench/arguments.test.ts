import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCommandLine } from '../../bench/support/arguments.ts';

const OPTIONS = { quick: { type: 'boolean', default: false }, out: { type: 'string' } } as const;

test('a bench takes its options', () => {
  assert.deepEqual({ ...readCommandLine(OPTIONS, ['--out', 'a.json']) }, { quick: false, out: 'a.json' });
});

for (const [args, wrong] of [
  [['--calls', '9'], "Unknown option '--calls'"],
  [['fast'], "Unexpected argument 'fast'"],
  [['--out'], "Option '--out <value>' argument missing"],
  [['--quick=yes'], "Option '--quick' does not take an argument"],
] as const) {
  test(`${args.join(' ')} gives one sentence that says what there is`, () => {
    assert.throws(() => readCommandLine(OPTIONS, [...args]), { name: 'TypeError', message: `${wrong}; there is --quick, --out VALUE.` });
  });
}
