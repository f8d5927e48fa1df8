/** Bytes of a stamped frame: those of 20 ms of Opus at 32 kbit/s. */
export const STAMPED_FRAME_BYTES = 80;

/** TOC of one 20 ms CELT frame, fullband, mono (RFC 6716, section 3.1): what follows may be any bytes. */
const TOC = 0xf8;

/** Makes `frame` pass for an Opus packet that carries a time. */
export function writeStamp(frame: Uint8Array, time: number): void {
  frame[0] = TOC;
  new DataView(frame.buffer, frame.byteOffset).setFloat64(1, time);
}

export function readStamp(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getFloat64(1);
}
