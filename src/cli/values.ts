import { lookup } from 'node:dns/promises';
import { InvalidArgumentError } from 'commander';
import { formatIp, parseAddress, parseIp, type TransportAddress } from '../wire/address.ts';
import { StartupError } from './startup-error.ts';

/** Checks `host:port` where the host may be a name: those are looked up by {@link resolveAddress} when it starts. */
export function endpoint(text: string): string {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (!host || Number(port) > 65535 || !(isHostName(host) || isAddress(text))) {
    throw new InvalidArgumentError('Write host:port, for example 192.0.2.1:3478 or [2001:db8::1]:3478.');
  }
  return text;
}

/** One or more of {@link endpoint}, separated by commas. */
export function endpoints(text: string): string[] {
  return text.split(',').map((part) => endpoint(part.trim()));
}

/** A URL of HTTP or WebSocket, secure or not. */
export function url(text: string): string {
  if (!/^(?:https?|wss?):\/\//.test(text) || !URL.canParse(text)) throw new InvalidArgumentError('Write a URL such as wss://… or https://…');
  return text;
}

/** Text parts separated by commas. */
export function list(text: string): string[] {
  return text.split(',').map((part) => part.trim());
}

/** A whole number within bounds. */
export function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(`Write a whole number from ${min} to ${max}.`);
    return value;
  };
}

/** `redis://` or, with TLS, `rediss://`. */
export function redisUrl(text: string): string {
  if (!/^rediss?:\/\/./.test(text) || !URL.canParse(text)) {
    throw new InvalidArgumentError('Write redis://host:6379, or rediss:// for TLS.');
  }
  return text;
}

/** `500ms`, `30s`, `5m`, `1h`, or a number of seconds; in milliseconds. */
export function duration(text: string): number {
  const [, number, unit] = /^(\d{1,9})(ms|s|m|h|)$/.exec(text) ?? [];
  const value = Number(number) * (UNITS[unit] ?? Number.NaN);
  // Timers hold 31 bits; four weeks of draining is not what anybody means.
  if (!(value < 2 ** 31)) throw new InvalidArgumentError('Write a time as 500ms, 30s, 5m or 1h.');
  return value;
}

/** @throws {StartupError} when the host name is unknown. IPv4 is preferred, as trunk addresses in tokens are IPv4. */
export async function resolveAddress(text: string): Promise<TransportAddress> {
  if (isAddress(text)) return parseAddress(text);
  const at = text.lastIndexOf(':');
  const host = text.slice(0, at);
  try {
    const { address } = await lookup(host, { order: 'ipv4first' });
    const ip = parseIp(address);
    if (ip) return { family: ip.length === 4 ? 4 : 6, ip, port: Number(text.slice(at + 1)) };
  } catch (error) {
    throw new StartupError(`The host name "${host}" in "${text}" cannot be resolved.`, { cause: error });
  }
  throw new StartupError(`The host name "${host}" in "${text}" has no usable address.`);
}

/** 0.0.0.0 or ::, where one can listen but nobody can send to. */
export function isUnspecified(address: TransportAddress): boolean {
  return address.ip.every((byte) => byte === 0);
}

/** `127.0.0.1:8080` for a URL: an unspecified address is shown as this machine. */
export function urlHost(address: TransportAddress): string {
  if (isUnspecified(address)) return `localhost:${address.port}`;
  return address.family === 4 ? `${formatIp(address.ip)}:${address.port}` : `[${formatIp(address.ip)}]:${address.port}`;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, '': 1000, m: 60_000, h: 3_600_000 };

/** A name, not a malformed IPv4 address: the last label of a name is not all digits (RFC 1123, section 2.1). */
function isHostName(host: string): boolean {
  return /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\.)*[A-Za-z_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\.?$/.test(host);
}

/** Whether `host:port` has an address for a host, not a name. */
export function isAddress(text: string): boolean {
  try {
    parseAddress(text);
    return true;
  } catch {
    return false;
  }
}
