/** A page that calls `endpoint` with its microphone, and no more. */
export function callingPage(endpoint: string): string {
  return `<!doctype html><title>caller</title><link rel="icon" href="data:,"><script type="module">
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  globalThis.connection = new RTCPeerConnection();
  connection.addTrack(microphone.getAudioTracks()[0], microphone);
  await connection.setLocalDescription();
  const response = await fetch('${endpoint}', {
    method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: connection.localDescription.sdp,
  });
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
</script>`;
}
