/**
 * Run as a process of its own, with the profile as its argument: opens and closes 10,000 sessions, prints by how many
 * bytes the process has grown. Its caller caps V8's young generation, whose growth would otherwise hide a leak's.
 */
import { openEvp } from '../../../src/webrtc/srtp/evp.ts';
import type { SrtpProfile } from '../../../src/webrtc/srtp-profile.ts';
import { createPair, protect, rtp } from './support.ts';

const ciphers = openEvp();
const profile = process.argv[2] as SrtpProfile;

openAndClose(2000);
const before = process.memoryUsage.rss();
openAndClose(10_000);
console.log(process.memoryUsage.rss() - before);

function openAndClose(sessions: number): void {
  for (let i = 0; i < sessions; i++) {
    const pair = createPair(profile, ciphers);
    protect(pair.sender, rtp(1));
    pair.close();
  }
}
