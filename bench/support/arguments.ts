import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

/** What a bench was started with. Anything else than `options` ends it with one sentence. */
export function commandLine<T extends Options>(options: T): Values<T> {
  try {
    return readCommandLine(options, process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

/** @throws {TypeError} one sentence on the first argument that is wrong, and on what there is. */
export function readCommandLine<T extends Options>(options: T, args: string[]): Values<T> {
  try {
    return parseArgs({ options, args }).values;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const known = Object.entries(options).map(([name, { type }]) => (type === 'string' ? `--${name} VALUE` : `--${name}`));
    const [wrong] = error.message.split(/[.\n]/, 1);
    throw new TypeError(`${wrong}; there is ${known.join(', ')}.`, { cause: error });
  }
}
