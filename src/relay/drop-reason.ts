/**
 * Why a relay dropped a packet, and what that means. The keys are the only reasons there are: the type
 * {@link DropReason}, the label of the drop counter, and the table in docs/wire.md.
 */
export const DROP_REASONS = {
  'not-webrtc': 'The first byte belongs to none of STUN, DTLS, RTP and RTCP',
  'stun-malformed': 'It should be STUN by its first byte, but is not well formed',
  'stun-no-ufrag': 'A binding request without a USERNAME of the form ufrag:ufrag',
  'token-invalid': 'The ufrag is no routing token under the current or the previous secret',
  'token-cluster': 'The token belongs to another cluster, to which this relay knows no way',
  'token-node': 'The token names a node id that is not in the directory',
  'ticket-unroutable': 'An unbound ticket, and no living transceiver is known; for a second after the start that is so until all have answered',
  'ticket-refused': 'A transceiver handed an unbound ticket back, and none is left that could take it',
  'target-not-allowed': 'The token, or the transceiver that handed a ticket back, leads to an address outside the allowed target networks',
  'source-limit': 'The token is good, but the /24 or /56 network that it came from makes too many new flows',
  'unknown-flow': 'Not STUN, from a client that this worker does not know',
  'flow-recovering': 'Not STUN, from an unknown client that has been asked for in the recovery cache',
  oversize: 'The packet is longer than a trunk datagram can carry',
  'trunk-malformed': 'A datagram on the trunk port, or the rest of one, is not of the trunk format',
  'trunk-version': 'The trunk datagram has a version that this relay does not speak',
  'trunk-cookie': 'The trunk datagram was sent under another secret',
  'trunk-direction': 'The trunk datagram comes from another relay, and this one belongs to no cluster',
  'trunk-source': 'The trunk datagram comes from outside the allowed target networks',
  'via-not-allowed': 'The entry is to return through a relay outside the allowed target networks',
  'relay-loop': 'The packet came through another relay and would have to go to a third one',
  'cluster-unreachable': 'No relay of the cluster of the call is known',
  'client-unreachable': 'The entry is for a client that the public port cannot send to',
} as const satisfies Record<string, string>;

export type DropReason = keyof typeof DROP_REASONS;

export const DROP_REASON_LIST = Object.keys(DROP_REASONS) as readonly DropReason[];
