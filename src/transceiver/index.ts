export { startTransceiver, type Transceiver, type TransceiverOptions } from './transceiver.ts';
