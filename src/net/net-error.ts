import { type TransportAddress, formatAddress } from '../wire/address.ts';

/** A socket that cannot be had. `code` is the system's (`EADDRINUSE`, `EACCES` …); the message says what to do. */
export class NetError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'NetError';
    this.code = code;
  }
}

/** The sentence for a failed bind. */
export function bindError(code: string, address: TransportAddress, cause?: unknown): NetError {
  return new NetError(code, `Cannot listen on UDP ${formatAddress(address)}: ${reason(code, address)}`, { cause });
}

function reason(code: string, address: TransportAddress): string {
  switch (code) {
    case 'EADDRINUSE':
      return 'another process has this port; stop it (`ss -ulpn` shows it) or choose another port';
    case 'EACCES':
      return `ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); choose a higher port than ${address.port}`;
    case 'EADDRNOTAVAIL':
      return 'no interface of this machine has this address; use one that `ip address` shows, or 0.0.0.0';
    case 'EAFNOSUPPORT':
      return `this machine has no IPv${address.family}; use an IPv${address.family === 4 ? 6 : 4} address`;
    default:
      return code;
  }
}
