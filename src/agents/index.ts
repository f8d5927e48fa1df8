/** `earshot/agents`: what is needed to write an agent. */
export type {
  Agent,
  AgentCall,
  AgentEvent,
  AgentItem,
  AgentResponse,
  AgentSession,
  AgentSessionConfig,
  AudioFormat,
  Interruption,
  OpusFrame,
  Turn,
} from './agent.ts';
export { echo } from './echo.ts';
export { parrot } from './parrot.ts';
export { AgentLoadError, loadAgent, loadAgents, type AgentSettings } from './load.ts';
export { AudioHistory } from '../media/audio-history.ts';
export { Resampler } from '../media/resample.ts';
