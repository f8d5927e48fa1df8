import { formatAddress, type TransportAddress } from '../wire/address.ts';

/** Something that the person who started the command can put right. The message is one sentence that says how. */
export class StartupError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'StartupError';
  }
}

/** The sentence for an HTTP address that cannot be listened on. */
export function httpListenError(error: unknown, address: TransportAddress): StartupError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  const reason = REASONS[code] ?? code;
  return new StartupError(`--http ${formatAddress(address)} cannot be listened on: ${reason}.`, { cause: error });
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses the port; stop it or choose another one',
  EACCES: 'the system does not allow it; ports below 1024 need a privilege, choose a higher one',
  EADDRNOTAVAIL: 'no interface of this machine has that address; try 127.0.0.1 or 0.0.0.0',
};
