import { BrowserCaller } from './browser-caller.ts';
import { CoreCaller } from './core-caller.ts';
import type { SetupCaller } from './setup-times.ts';

/** A kind of caller: which stack, and what of WARP is on. */
export interface Mode {
  readonly name: string;
  /** Everything that shortens the set-up is on. */
  readonly warp: boolean;
  open(endpoint: string): Promise<SetupCaller>;
}

const SNAP = 'WebRTC-Sctp-Snap/Enabled/';
const SPED = 'WebRTC-IceHandshakeDtls/Enabled/';
/** Its key share makes the ClientHello two datagrams long, and with SPED each needs a check of its own. */
const NO_POST_QUANTUM = '--disable-features=WebRtcPqcForDtls';

/** Chromium with an ordinary channel (`in-band`) or one under an agreed id (`?dcid`), and Earshot's own client core. */
export const MODES: readonly Mode[] = [
  chromium('chromium', '', false),
  chromium('chromium ?dcid', '', true),
  chromium('chromium SNAP', SNAP, false),
  chromium('chromium SPED', SPED, false),
  chromium('chromium WARP', `${SNAP}${SPED}`, true),
  chromium('chromium WARP x25519', `${SNAP}${SPED}`, true, [NO_POST_QUANTUM]),
  core('core', { snap: false, sped: false, negotiated: false, warp: false }),
  core('core WARP', { snap: true, sped: true, negotiated: true, warp: true }),
];

function chromium(name: string, fieldTrials: string, negotiated: boolean, more: readonly string[] = []): Mode {
  const warp = fieldTrials.includes(SNAP) && fieldTrials.includes(SPED);
  const args = [...(fieldTrials === '' ? [] : [`--force-fieldtrials=${fieldTrials}`]), ...more];
  return { name, warp, open: (endpoint) => BrowserCaller.launch({ endpoint, args, negotiated }) };
}

function core(name: string, { snap, sped, negotiated, warp }: { snap: boolean; sped: boolean; negotiated: boolean; warp: boolean }): Mode {
  return { name, warp, open: (endpoint) => CoreCaller.make({ endpoint, snap, sped, negotiated }) };
}
