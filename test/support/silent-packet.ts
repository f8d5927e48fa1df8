/** 20 ms of nothing in Opus (RFC 6716, section 3.1: CELT, fullband, one frame). */
export const SILENT_PACKET = Uint8Array.of(0xf8, 0xff, 0xfe);
