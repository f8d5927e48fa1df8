/**
 * Runs inside a page before its own scripts: records what the page's microphone delivers (`sent`) and what arrives on
 * the remote audio track of any of its peer connections (`heard`), whatever code made them. Both recordings share the
 * clock of one AudioContext, so times can be compared.
 */
(() => {
  const SAMPLE_RATE = 48_000;
  const BLOCK = 1024;

  /** @type {AudioContext | undefined} */
  let audio;
  /** @type {Map<string, Tap>} */
  const taps = new Map();

  class Tap {
    /** @type {Float32Array[]} */
    #blocks = [];
    #startedAt = 0;

    /**
     * @param {MediaStream} stream
     */
    constructor(stream) {
      audio ??= new AudioContext({ sampleRate: SAMPLE_RATE });
      // Deprecated, but unlike a worklet it needs no script of its own, which the page's CSP would have to allow.
      const processor = audio.createScriptProcessor(BLOCK, 1, 1);
      processor.addEventListener('audioprocess', ({ inputBuffer, playbackTime }) => {
        if (this.#blocks.length === 0) this.#startedAt = playbackTime;
        this.#blocks.push(inputBuffer.getChannelData(0).slice());
      });
      audio.createMediaStreamSource(stream).connect(processor).connect(audio.destination);
    }

    /** The recording so far: samples as base64 of little-endian 32-bit floats. */
    take() {
      const bytes = new Uint8Array(this.#blocks.length * BLOCK * 4);
      this.#blocks.forEach((block, i) => bytes.set(new Uint8Array(block.buffer), i * BLOCK * 4));
      let binary = '';
      for (let i = 0; i < bytes.length; i += 0x8000) binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
      return { startedAt: this.#startedAt, sampleRate: SAMPLE_RATE, base64: btoa(binary) };
    }
  }

  const devices = navigator.mediaDevices;
  if (devices) {
    const getUserMedia = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      const stream = await getUserMedia(constraints);
      taps.set('sent', new Tap(stream.clone()));
      return stream;
    };
  }

  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    /**
     * @param {RTCConfiguration} [configuration]
     */
    constructor(configuration) {
      super(configuration);
      Reflect.set(globalThis, 'lastPeerConnection', this);
      this.addEventListener('track', ({ track }) => {
        if (track.kind !== 'audio') return;
        const stream = new MediaStream([track]);
        // Chromium decodes a remote track only while an element plays it.
        const player = new Audio();
        player.srcObject = stream;
        player.muted = true;
        void player.play();
        taps.set('heard', new Tap(stream));
      });
    }
  };

  Reflect.set(globalThis, 'recorder', {
    /**
     * @param {string} name `sent` or `heard`
     */
    take: (name) => taps.get(name)?.take() ?? null,
  });
})();
