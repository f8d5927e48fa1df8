import type { ASSUMED, MEASURED } from './costs.ts';
import { serversFor } from './erlang.ts';

/** Figures of costs.ts, or others of the same names. */
export type Numbers<T> = { readonly [K in keyof T]: T[K] extends number ? number : T[K] extends boolean ? boolean : T[K] };

export interface Inputs {
  readonly measured: Numbers<typeof MEASURED>;
  readonly assumed: Numbers<typeof ASSUMED>;
  readonly regions: readonly { readonly name: string; readonly share: number }[];
}

/** What one call costs while it lasts, whatever the number of calls. */
export interface CallCost {
  /** Packets that a relay forwards, both ways, per second. */
  readonly packetsPerSecond: number;
  /** Of a core. */
  readonly relayCores: number;
  readonly transceiverCores: number;
  /** Of the public side, each way, bits per second with IP and UDP headers. */
  readonly publicBits: number;
  /** Of the trunk, each way, alike. */
  readonly trunkBits: number;
  /** Calls that one core takes at the utilisation that is aimed at. */
  readonly callsPerRelayCore: number;
  readonly callsPerTransceiverCore: number;
  /** What a pod is set to take: `transceiver.maxCalls` of the chart. */
  readonly callsPerPod: number;
}

/** What is needed for so many calls at once. */
export interface Demand {
  readonly calls: number;
  /** Users a week that make so many calls at the peak. */
  readonly weeklyUsers: number;
  readonly setUpsPerSecond: number;
  readonly regions: readonly RegionDemand[];
  readonly total: Omit<RegionDemand, 'name' | 'calls'>;
}

export interface RegionDemand {
  readonly name: string;
  /** At the peak, with all regions up. */
  readonly calls: number;
  /** That the region has room for. */
  readonly capacity: number;
  readonly relayPods: number;
  readonly transceiverPods: number;
  readonly gatewayPods: number;
  /** Primaries that share the flows. */
  readonly redisNodes: number;
  readonly redisWritesPerSecond: number;
  readonly redisGiB: number;
  /** Each way, at the peak. */
  readonly publicGbits: number;
  readonly trunkGbits: number;
  readonly cores: number;
  readonly memoryGiB: number;
}

const WEEK_MINUTES = 7 * 24 * 60;
const GIB = 2 ** 30;
/** Of the process itself, before any call: GiB. */
const BASE_GIB = 0.15;

export function costOfCall({ measured, assumed }: Pick<Inputs, 'measured' | 'assumed'>): CallCost {
  const { framesPerSecond, otherPacketsPerSecond } = assumed;
  const oneWay = framesPerSecond + otherPacketsPerSecond;
  const packetsPerSecond = 2 * oneWay;
  const relayCores = (packetsPerSecond * measured.relayMicrosPerPacket) / 1e6;
  const codecMicros = framesPerSecond * (measured.opusDecodeMicros + assumed.agentTalkShare * measured.opusEncodeMicros);
  const setUpCores = measured.transceiverMillisPerSetUp / 1000 / (assumed.callMinutes * 60);
  const transceiverCores = measured.transceiverMillisPerSecond / 1000 + codecMicros / 1e6 + setUpCores;
  const packetBytes = assumed.payloadBytes + assumed.srtpBytes;
  const callsPerTransceiverCore = Math.floor(assumed.transceiverUtilisation / transceiverCores);
  return {
    packetsPerSecond,
    relayCores,
    transceiverCores,
    publicBits: 8 * oneWay * (packetBytes + assumed.datagramBytes),
    trunkBits: 8 * oneWay * (packetBytes + assumed.trunkEntryBytes + assumed.trunkHeaderBytes + assumed.datagramBytes),
    callsPerRelayCore: Math.floor(assumed.relayUtilisation / relayCores),
    callsPerTransceiverCore,
    callsPerPod: callsPerTransceiverCore * assumed.transceiverWorkers,
  };
}

/** @param calls at once, in all regions together */
export function demandOf(calls: number, inputs: Inputs): Demand {
  const { assumed } = inputs;
  const largest = Math.max(...inputs.regions.map(({ share }) => share));
  const headroom = assumed.surviveRegion && inputs.regions.length > 1 ? 1 / (1 - largest) : 1;
  const regions = inputs.regions.map(({ name, share }) => regionDemand(name, calls * share, headroom, inputs));
  const sum = (key: Exclude<keyof RegionDemand, 'name'>): number => regions.reduce((total, region) => total + region[key], 0);
  return {
    calls,
    weeklyUsers: calls / ((assumed.minutesPerUserAndWeek / WEEK_MINUTES) * assumed.peakToMean),
    setUpsPerSecond: calls / (assumed.callMinutes * 60),
    regions,
    total: {
      capacity: sum('capacity'),
      relayPods: sum('relayPods'),
      transceiverPods: sum('transceiverPods'),
      gatewayPods: sum('gatewayPods'),
      redisNodes: sum('redisNodes'),
      redisWritesPerSecond: sum('redisWritesPerSecond'),
      redisGiB: sum('redisGiB'),
      publicGbits: sum('publicGbits'),
      trunkGbits: sum('trunkGbits'),
      cores: sum('cores'),
      memoryGiB: sum('memoryGiB'),
    },
  };
}

function regionDemand(name: string, calls: number, headroom: number, { measured, assumed }: Inputs): RegionDemand {
  const cost = costOfCall({ measured, assumed });
  const atWorst = calls * headroom;
  const places = serversFor(atWorst, assumed.blocking) / assumed.evenFill;
  const transceiverPods = Math.max(2, Math.ceil(places / cost.callsPerPod));
  const relayPods = Math.max(2, Math.ceil(atWorst / (cost.callsPerRelayCore * assumed.relayWorkers)));
  const offersPerSecond = atWorst / (assumed.callMinutes * 60);
  const gatewayPods = Math.max(2, Math.ceil((offersPerSecond * measured.gatewayMillisPerOffer) / 1000 / assumed.gatewayUtilisation));
  const redisWritesPerSecond = atWorst / assumed.redisWriteSeconds;
  const redisNodes = Math.max(1, Math.ceil((redisWritesPerSecond * measured.redisMicrosPerWrite) / 1e6 / assumed.redisUtilisation));
  const redisGiB = (atWorst * measured.redisBytesPerFlow) / GIB;
  const transceiverGiB = (atWorst * measured.transceiverKiBPerCall * 1024) / GIB;
  const relayGiB = (atWorst * measured.relayBytesPerFlow) / GIB;
  return {
    name,
    calls,
    capacity: transceiverPods * cost.callsPerPod,
    relayPods,
    transceiverPods,
    gatewayPods,
    redisNodes,
    redisWritesPerSecond,
    redisGiB,
    publicGbits: (calls * cost.publicBits) / 1e9,
    trunkGbits: (calls * cost.trunkBits) / 1e9,
    cores: transceiverPods * assumed.transceiverWorkers + relayPods * assumed.relayWorkers + gatewayPods + redisNodes,
    memoryGiB: transceiverGiB + relayGiB + redisGiB + BASE_GIB * (transceiverPods + relayPods + gatewayPods),
  };
}
