import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Audio, PeerConnection, Video, cleanup } from 'node-datachannel';
import { createAnswer } from '../../../src/webrtc/sdp/answer.ts';
import { createOffer, parseAnswer } from '../../../src/webrtc/sdp/client.ts';
import { parseOffer } from '../../../src/webrtc/sdp/offer.ts';
import { LOCAL } from './fixtures.ts';

// The library crashes when a connection or track is collected before cleanup().
const kept: unknown[] = [];

after(() => {
  cleanup();
  kept.length = 0;
});

function connect(disableAutoNegotiation: boolean): PeerConnection {
  const connection = new PeerConnection('test', { iceServers: [], bindAddress: '127.0.0.1', disableAutoNegotiation });
  kept.push(connection);
  return connection;
}

/** Settles once all candidates are in the description. */
function gathered(connection: PeerConnection): Promise<string> {
  return new Promise((resolve) => {
    connection.onGatheringStateChange((state) => {
      if (state === 'complete') resolve(connection.localDescription()!.sdp);
    });
  });
}

for (const kinds of [['data'], ['audio'], ['audio', 'data'], ['audio', 'video', 'data']]) {
  test(`libdatachannel takes our answer to its offer of ${kinds.join(', ')}`, { timeout: 20_000 }, async () => {
    const connection = connect(true);
    for (const kind of kinds) {
      if (kind === 'data') kept.push(connection.createDataChannel('oai-events'));
      if (kind === 'audio') {
        const audio = new Audio('audio', 'SendRecv');
        audio.addOpusCodec(111);
        kept.push(audio, connection.addTrack(audio));
      }
      if (kind === 'video') {
        const video = new Video('video', 'SendRecv');
        video.addVP8Codec(97);
        kept.push(video, connection.addTrack(video));
      }
    }
    const offer = gathered(connection);
    connection.setLocalDescription();
    connection.setRemoteDescription(createAnswer(parseOffer(await offer), LOCAL), 'answer');
    assert.equal(connection.signalingState(), 'stable');
    connection.close();
  });
}

test('libdatachannel answers our offer', { timeout: 20_000 }, async () => {
  const connection = connect(false);
  const answer = gathered(connection);
  connection.setRemoteDescription(
    createOffer({ ...LOCAL, audio: { ...LOCAL, direction: 'sendrecv' }, data: { init: null } }),
    'offer',
  );
  const { negotiated, candidates } = parseAnswer(await answer);
  assert.equal(negotiated.data?.mid, '1');
  assert.ok(candidates.length > 0);
  connection.close();
});
