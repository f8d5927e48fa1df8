/** Samples of one block; a whole number of 20 ms frames at every rate there is: 0.2 s at 48 kHz, 0.4 s at 24 kHz. */
export const BLOCK_SAMPLES = 9600;
/** More are not kept: some 5 MB. */
const MAX_FREE = 256;

/** Free blocks of the thread, the one used last on top. */
const free: Int16Array[] = [];

/**
 * Memory for samples that wait to be played. All calls of the thread take it from here and give it back: seconds of audio
 * come at a time, and as garbage they would have the collector stop all calls every second for some 10 ms.
 */
export function takeBlock(): Int16Array {
  return free.pop() ?? new Int16Array(BLOCK_SAMPLES);
}

/** The block must not be used any more by whoever gives it back. */
export function giveBlock(block: Int16Array): void {
  if (free.length < MAX_FREE) free.push(block);
}
