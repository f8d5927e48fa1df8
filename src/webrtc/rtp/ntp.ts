/** Seconds from 1900 (NTP) to 1970 (Unix). */
const NTP_UNIX_SECONDS = 2_208_988_800;

/** NTP timestamp (RFC 3550, section 4) of a Unix time in ms: seconds and 2^-32 seconds. */
export function toNtp(unixMs: number): { seconds: number; fraction: number } {
  const seconds = Math.floor(unixMs / 1000);
  return {
    seconds: (seconds + NTP_UNIX_SECONDS) >>> 0,
    fraction: Math.floor(((unixMs - seconds * 1000) / 1000) * 0x1_0000_0000) >>> 0,
  };
}

/** The middle 32 bits of an NTP timestamp: 1/65536 seconds, the unit of LSR and DLSR. */
export function compactNtp(seconds: number, fraction: number): number {
  return ((seconds << 16) | (fraction >>> 16)) >>> 0;
}

export function compactToMs(compact: number): number {
  return (compact * 1000) / 65_536;
}

export function msToCompact(ms: number): number {
  return Math.min(0xffff_ffff, Math.round((ms * 65_536) / 1000));
}
