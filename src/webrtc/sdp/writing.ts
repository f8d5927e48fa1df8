import { formatIp, type TransportAddress } from '../../wire/address.ts';
import {
  EXTENSION_URIS,
  MAX_MESSAGE_SIZE,
  SCTP_PORT,
  type AudioExtensions,
  type LocalAudio,
  type LocalTransport,
  type MediaDirection,
  type NegotiatedAudio,
  type NegotiatedData,
  type SdpCandidate,
} from './description.ts';
import type { InitParameters } from '../sctp/init.ts';
import { sctpInitLine } from './sctp-init.ts';

/** The parts that offers, answers and fragments are put together from: lines without their ends. */

/** Ends every line as SDP wants it. */
export function joinLines(lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n`;
}

export function sessionLines(local: LocalTransport, bundleMids: readonly string[], iceLite: boolean): string[] {
  const lines = ['v=0', `o=- ${local.sessionId} 2 IN IP4 127.0.0.1`, 's=-', 't=0 0'];
  if (bundleMids.length > 0) lines.push(`a=group:BUNDLE ${bundleMids.join(' ')}`);
  if (iceLite) lines.push('a=ice-lite');
  lines.push(['a=ice-options:ice2', ...(local.iceOptions ?? [])].join(' '));
  return lines;
}

/** `m=` and `c=`, with the default candidate (RFC 8839, section 4.2.1.2), or the placeholder when there is none. */
export function mediaLines(media: string, protocol: string, formats: string, candidates: readonly SdpCandidate[]): string[] {
  const address = (candidates.find((candidate) => candidate.address.family === 4) ?? candidates[0])?.address;
  return [`m=${media} ${address?.port ?? 9} ${protocol} ${formats}`, connectionLine(address)];
}

/** A section that is not taken: port 0 and what every section needs (RFC 8829, section 5.3.1). */
export function rejectedLines(media: string, protocol: string, formats: string, mid: string | null): string[] {
  return [`m=${media} 0 ${protocol} ${formats}`, connectionLine(undefined), ...midLines(mid), 'a=inactive'];
}

/** The lines that each section in use has, bundled or not. */
export function transportLines(local: LocalTransport, setup: string, mid: string | null): string[] {
  return [
    ...iceLines(local),
    `a=fingerprint:${local.fingerprint.algorithm} ${hexPairs(local.fingerprint.value)}`,
    `a=setup:${setup}`,
    ...midLines(mid),
  ];
}

/** `AB:01:…` */
function hexPairs(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex').toUpperCase().match(/../g)?.join(':') ?? '';
}

export function iceLines({ ufrag, password }: { readonly ufrag: string; readonly password: string }): string[] {
  return [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${password}`];
}

export function midLines(mid: string | null): string[] {
  return mid === null ? [] : [`a=mid:${mid}`];
}

/** All there will ever be: host candidates and the end of the list. */
export function candidateLines(candidates: readonly SdpCandidate[]): string[] {
  const lines = candidates.map(({ address, priority }, i) => {
    const value = priority ?? hostPriority(i);
    return `a=candidate:${i + 1} 1 udp ${value} ${formatIp(address.ip)} ${address.port} typ host`;
  });
  return [...lines, 'a=end-of-candidates'];
}

/** Formats of the m= line. RED first: the first format is the one that the other side will send. */
export function audioFormats({ payloadType, redPayloadType }: Pick<NegotiatedAudio, 'payloadType' | 'redPayloadType'>): string {
  return redPayloadType === null ? String(payloadType) : `${redPayloadType} ${payloadType}`;
}

/** Everything of an audio section that is not transport. */
export function audioLines(
  audio: Omit<NegotiatedAudio, 'opus' | 'remoteSsrc' | 'mid'>,
  direction: MediaDirection,
  local: LocalAudio,
): string[] {
  const { payloadType, redPayloadType, extensions, feedback } = audio;
  const sends = direction === 'sendrecv' || direction === 'sendonly';
  const lines = extensionLines(extensions);
  if (audio.extmapAllowMixed) lines.push('a=extmap-allow-mixed');
  lines.push(`a=${direction}`);
  if (sends) lines.push(`a=msid:${local.streamId} ${local.trackId}`);
  lines.push('a=rtcp-mux');
  if (audio.reducedSizeRtcp) lines.push('a=rtcp-rsize');
  lines.push(`a=rtpmap:${payloadType} opus/48000/${audio.channels}`);
  if (feedback.transportCc) lines.push(`a=rtcp-fb:${payloadType} transport-cc`);
  if (feedback.nack) lines.push(`a=rtcp-fb:${payloadType} nack`);
  lines.push(`a=fmtp:${payloadType} minptime=10;useinbandfec=1`);
  if (redPayloadType !== null) {
    lines.push(`a=rtpmap:${redPayloadType} red/48000/2`, `a=fmtp:${redPayloadType} ${payloadType}/${payloadType}`);
  }
  if (sends) lines.push(`a=ssrc:${local.ssrc} cname:${local.cname}`, `a=ssrc:${local.ssrc} msid:${local.streamId} ${local.trackId}`);
  return lines;
}

/** Everything of a data section that is not transport. */
export function dataLines(form: NegotiatedData['form'], init: InitParameters | null): string[] {
  const port = form === 'modern' ? `a=sctp-port:${SCTP_PORT}` : `a=sctpmap:${SCTP_PORT} webrtc-datachannel 65535`;
  return [port, `a=max-message-size:${MAX_MESSAGE_SIZE}`, ...(init === null ? [] : [sctpInitLine(init)])];
}

/** Formats of the m= line. */
export function dataFormats(form: NegotiatedData['form']): string {
  return form === 'modern' ? 'webrtc-datachannel' : String(SCTP_PORT);
}

function extensionLines(extensions: AudioExtensions): string[] {
  return Object.entries(extensions)
    .filter((entry): entry is [keyof AudioExtensions, number] => entry[1] !== null)
    .sort((a, b) => a[1] - b[1])
    .map(([name, id]) => `a=extmap:${id} ${EXTENSION_URIS[name]}`);
}

function connectionLine(address: TransportAddress | undefined): string {
  return address ? `c=IN IP${address.family} ${formatIp(address.ip)}` : 'c=IN IP4 0.0.0.0';
}

/** RFC 8445, section 5.1.2.1: type preference of host candidates, local preference by order, component 1. */
function hostPriority(index: number): number {
  return 126 * 2 ** 24 + (65_535 - index) * 2 ** 8 + 255;
}
