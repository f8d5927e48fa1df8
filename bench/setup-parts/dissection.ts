import { isRtcp } from '../../src/webrtc/rtp/rtcp.ts';
import { StunAttribute } from '../../src/webrtc/stun/attributes.ts';
import { StunMessage } from '../../src/webrtc/stun/message.ts';

/** What a datagram of a call is, in a few words, as far as can be told without its keys. */
export function dissect(data: Uint8Array): string {
  const [first] = data;
  if (first < 4) return stun(data);
  if (first >= 20 && first < 64) return `DTLS ${records(data)}`;
  if (first < 128 || first >= 192) return `? ${data.length}`;
  return `${isRtcp(data) ? 'SRTCP' : 'SRTP'} ${data.length}`;
}

const message = new StunMessage();

function stun(data: Uint8Array): string {
  if (!message.read(data)) return `? ${data.length}`;
  const dtls = message.attribute(StunAttribute.dtlsInStun);
  const ack = message.attribute(StunAttribute.dtlsInStunAck);
  return [
    message.class === 'request' ? 'check' : message.class === 'success' ? 'answer' : message.class,
    ...(message.has(StunAttribute.useCandidate) ? ['nominates'] : []),
    ...(ack === null ? [] : [`ACK of ${ack.length / 4}`]),
    ...(dtls === null || dtls.length === 0 ? [] : [`DTLS ${records(dtls)}`]),
  ].join(', ');
}

const HANDSHAKE = 22;
const CONTENT_TYPES = new Map([[20, 'change cipher spec'], [21, 'alert'], [HANDSHAKE, 'handshake'], [23, 'data'], [26, 'ACK']]);
const MESSAGES = new Map([[1, 'ClientHello'], [2, 'ServerHello'], [11, 'Certificate'], [12, 'ServerKeyExchange'], [13, 'CertificateRequest'], [14, 'ServerHelloDone'], [15, 'CertificateVerify'], [16, 'ClientKeyExchange']]);

/** The records of a DTLS datagram: those with the unified header of DTLS 1.3 by their epoch, modulo 4, and length. */
function records(data: Uint8Array): string {
  const words: string[] = [];
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  for (let at = 0; at + 13 <= data.length; ) {
    const first = data[at];
    if (first >> 5 === 1) {
      const header = 1 + (first & 8 ? 2 : 1) + (first & 4 ? 2 : 0);
      const length = first & 4 ? view.getUint16(at + header - 2) : data.length - at - header;
      words.push(`epoch ${first & 3}: ${length}`);
      at += header + length;
    } else {
      const epoch = view.getUint16(at + 3);
      const length = view.getUint16(at + 11);
      const name = epoch === 0 && first === HANDSHAKE ? MESSAGES.get(data[at + 13]) : CONTENT_TYPES.get(first);
      words.push(`${name ?? first}${epoch === 0 ? '' : ` (epoch ${epoch})`}: ${length}`);
      at += 13 + length;
    }
  }
  return `[${words.join(' | ')}]`;
}
