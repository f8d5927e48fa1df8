/** What is used of `@evan/opus`, whose own types its `exports` map hides from ES modules. */
declare module '@evan/opus' {
  interface CoderOptions {
    channels: 1 | 2;
    sample_rate: 8000 | 12000 | 16000 | 24000 | 48000;
  }

  export class Decoder {
    constructor(options: CoderOptions);
    /** Interleaved 16-bit samples in memory of their own. @throws on data that is not Opus. */
    decode(packet: ArrayBufferView): Uint8Array;
  }

  export class Encoder {
    constructor(options: CoderOptions & { application: 'voip' | 'audio' | 'restricted_lowdelay' });
    bitrate: number;
    complexity: number;
    inband_fec: boolean;
    packet_loss: number;
    signal: 'auto' | 'voice' | 'music';
    dtx: boolean;
    /** What is coded does not build on what was. */
    prediction_disabled: boolean;
    reset(): void;
    /** @throws on a length that is no Opus frame. */
    encode(samples: ArrayBufferView): Uint8Array;
  }
}
