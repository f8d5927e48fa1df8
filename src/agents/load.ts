import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Agent } from './agent.ts';
import { cascade } from './cascade.ts';
import { echo } from './echo.ts';
import { parrot } from './parrot.ts';
import { realtime } from './realtime.ts';

/** The agent cannot be loaded; the message is one sentence for the person who started the program. */
export class AgentLoadError extends Error {
  readonly code = 'agent_not_loaded';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentLoadError';
  }
}

/** What the built-in agents need that have a server behind them. */
export interface AgentSettings {
  /** `realtime`: the WebSocket URL of a Realtime server. `cascade`: base URL of an OpenAI-compatible HTTP API. */
  readonly upstream?: string;
  readonly upstreamKey?: string;
  /** `cascade`: the models, each `model` or `base-url#model`. */
  readonly stt?: string;
  readonly llm?: string;
  readonly tts?: string;
}

const BUILT_IN: ReadonlyMap<string, (settings: AgentSettings) => Agent> = new Map([
  ['parrot', () => parrot],
  ['echo', () => echo],
  ['realtime', realtime],
  ['cascade', cascade],
]);

/**
 * Resolves one part of `--agent`: the name of a built-in agent, or the path of a JavaScript module whose default export is an
 * {@link Agent}. Paths are taken from `directory`.
 * @throws {AgentLoadError} for an unknown name, a missing setting, a missing or failing file, or an export that is no agent.
 */
export async function loadAgent(
  specifier: string,
  { directory = process.cwd(), settings = {} }: { directory?: string; settings?: AgentSettings } = {},
): Promise<Agent> {
  const builtIn = BUILT_IN.get(specifier);
  if (builtIn !== undefined) return configured(specifier, () => builtIn(settings));
  if (!/[./\\]/.test(specifier)) {
    throw new AgentLoadError(
      `there is no agent "${specifier}": use ${[...BUILT_IN.keys()].join(', ')}, or the path of a module such as ./my-agent.js`,
    );
  }
  const path = specifier.startsWith('file:') ? fileURLToPath(specifier) : resolve(directory, specifier);
  const file = await stat(path).catch(() => null);
  if (file === null || !file.isFile()) throw new AgentLoadError(`the agent file ${path} does not exist`);

  let module: { default?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    throw new AgentLoadError(`the agent file ${path} does not load: ${firstLine(error)}`, { cause: error });
  }
  const fault = faultOf(module.default);
  if (fault !== null) throw new AgentLoadError(`the agent file ${path} is no agent: ${fault}`);
  return module.default as Agent;
}

function configured(name: string, make: () => Agent): Agent {
  try {
    return make();
  } catch (error) {
    throw new AgentLoadError(`the agent "${name}" cannot start: ${firstLine(error)}`, { cause: error });
  }
}

/**
 * The agents of `--agent`, as {@link loadAgent} resolves each; the first is the default.
 * @throws {AgentLoadError} also when two have the same name: callers choose by it.
 */
export async function loadAgents(
  specifiers: readonly string[],
  options: { directory?: string; settings?: AgentSettings } = {},
): Promise<readonly [Agent, ...Agent[]]> {
  const agents: Agent[] = [];
  // One after the other: what a module does while it loads must not depend on its neighbours.
  for (const specifier of specifiers) {
    const agent = await loadAgent(specifier, options);
    if (agents.some(({ name }) => name === agent.name)) {
      throw new AgentLoadError(`two agents have the name "${agent.name}": callers choose by it, so give one another name`);
    }
    agents.push(agent);
  }
  const [first, ...others] = agents;
  if (first === undefined) throw new AgentLoadError('there is no agent: name at least one');
  return [first, ...others];
}

const RATES: readonly unknown[] = [8000, 16_000, 24_000, 48_000];

function faultOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null) return 'its default export must be an object';
  const agent = value as Partial<Record<keyof Agent, unknown>>;
  if (typeof agent.name !== 'string' || agent.name === '') return '"name" must be a string';
  if (typeof agent.open !== 'function') return '"open" must be a function';
  for (const name of ['turns', 'bridge'] as const) {
    if (agent[name] !== undefined && typeof agent[name] !== 'boolean') return `"${name}" must be true or false`;
  }
  const format = agent.format as { codec?: unknown; rate?: unknown } | null | undefined;
  if (format?.codec === 'opus') return null;
  if (format?.codec === 'pcm16') {
    return RATES.includes(format.rate) ? null : '"format.rate" must be 8000, 16000, 24000 or 48000';
  }
  return '"format" must be { codec: "opus" } or { codec: "pcm16", rate }';
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return message.split('\n', 1)[0];
}
