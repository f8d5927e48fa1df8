import { BrowserCaller } from './browser-caller.ts';
import { CoreCaller, type CoreOptions } from './core-caller.ts';
import type { SetupCaller } from './setup-times.ts';

/** A kind of caller: which stack, and what of WARP is on. */
export interface Mode {
  readonly name: string;
  /** Everything that shortens the set-up is on. */
  readonly warp: boolean;
  /** Measured with loss as well, where nothing else is asked for. */
  readonly lossy: boolean;
  /** The caller that it may not be slower than. */
  readonly than?: string;
  open(endpoint: string): Promise<SetupCaller>;
}

const SNAP = 'WebRTC-Sctp-Snap/Enabled/';
const SPED = 'WebRTC-IceHandshakeDtls/Enabled/';
/** Its key share makes the ClientHello two datagrams long, and with SPED each needs a check of its own. */
const NO_POST_QUANTUM = '--disable-features=WebRtcPqcForDtls';
const ONLY_12 = { versions: ['1.2'] } as const;

/** Chromium with an ordinary channel or one under an agreed id (`?dcid`), also with its answer asked for ahead (`instant`), and Earshot's own client core. */
export const MODES: readonly Mode[] = [
  { name: 'chromium', warp: false, lossy: true, open: chromium({ fieldTrials: '', negotiated: false }) },
  { name: 'chromium ?dcid', warp: false, lossy: false, than: 'chromium', open: chromium({ fieldTrials: '', negotiated: true }) },
  { name: 'chromium SNAP', warp: false, lossy: false, than: 'chromium', open: chromium({ fieldTrials: SNAP, negotiated: false }) },
  { name: 'chromium SPED', warp: false, lossy: false, than: 'chromium', open: chromium({ fieldTrials: SPED, negotiated: false }) },
  { name: 'chromium WARP', warp: true, lossy: true, than: 'chromium', open: chromium({ fieldTrials: `${SNAP}${SPED}`, negotiated: true }) },
  { name: 'chromium WARP x25519', warp: true, lossy: false, open: chromium({ fieldTrials: `${SNAP}${SPED}`, negotiated: true, more: [NO_POST_QUANTUM] }) },
  { name: 'chromium instant', warp: false, lossy: false, than: 'chromium ?dcid', open: chromium({ fieldTrials: '', negotiated: true, ahead: true }) },
  { name: 'chromium WARP instant', warp: true, lossy: false, than: 'chromium', open: chromium({ fieldTrials: `${SNAP}${SPED}`, negotiated: true, ahead: true }) },
  { name: 'core', warp: false, lossy: true, open: core({ snap: false, sped: false, negotiated: false }) },
  { name: 'core DTLS 1.2', warp: false, lossy: false, open: core({ snap: false, sped: false, negotiated: false, dtls: ONLY_12 }) },
  { name: 'core DTLS 1.2 SPED', warp: false, lossy: false, than: 'core DTLS 1.2', open: core({ snap: false, sped: true, negotiated: false, dtls: ONLY_12 }) },
  { name: 'core WARP', warp: true, lossy: true, than: 'core', open: core({ snap: true, sped: true, negotiated: true }) },
];

interface Chromium {
  readonly fieldTrials: string;
  readonly negotiated: boolean;
  readonly ahead?: boolean;
  readonly more?: readonly string[];
}

function chromium({ fieldTrials, negotiated, ahead = false, more = [] }: Chromium): Mode['open'] {
  const args = [...(fieldTrials === '' ? [] : [`--force-fieldtrials=${fieldTrials}`]), ...more];
  return (endpoint) => BrowserCaller.launch({ endpoint, args, negotiated, ahead });
}

function core(options: Omit<CoreOptions, 'endpoint'>): Mode['open'] {
  return (endpoint) => CoreCaller.make({ endpoint, ...options });
}
