import { parentPort, workerData } from 'node:worker_threads';
import { containAgentFaults } from '../conversation/agent-host.ts';
import { CallError } from '../signaling/call-service.ts';
import type { ObserverAct, ShardError, ShardMessage, ShardOptions, ShardRequest, ShardRequestMessage, ShardResults } from './protocol.ts';
import { openShard, type Shard } from './shard.ts';
import { ShardObservers } from './observers.ts';

/** Entry point of a shard's worker thread: opens the shard and serves the main thread's requests. */

const port = parentPort!;
const tell = (message: ShardMessage): void => port.postMessage(message);

try {
  const shard = await openShard(workerData as ShardOptions, {
    ticketUsed: (callId, ufrag, expiresAt) => tell({ type: 'ticket-used', callId, ufrag, expiresAt }),
    callEnded: (callId) => tell({ type: 'call-ended', callId }),
    fetchSession: (name) => tell({ type: 'fetch-session', name }),
  });
  const observers = new ShardObservers(shard, tell);
  port.on('message', (message: ShardRequestMessage | ObserverAct) => {
    if ('type' in message) {
      observers.act(message);
      return;
    }
    const { id, request } = message;
    serve(shard, observers, request).then(
      (result) => tell({ type: 'reply', id, result }),
      (error: unknown) => tell({ type: 'error', id, error: toShardError(error) }),
    );
  });
  // What an agent throws in a timer or a forgotten promise ends its own call; what has no owner must end none.
  containAgentFaults((error) => shard.log.error({ err: error }, 'an error that belongs to no call'));
  tell({ type: 'ready', trunk: shard.trunk, agents: shard.agents });
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException;
  tell({ type: 'failed', message, code: code ?? null });
}

async function serve(shard: Shard, observers: ShardObservers, request: ShardRequest): Promise<ShardResults[keyof ShardResults]> {
  switch (request.type) {
    case 'create-call':
      return shard.createCall(request);
    case 'hangup':
      shard.hangup(request.callId, request.reason);
      return null;
    case 'restart-ice':
      return shard.restartIce(request.callId, request.fragment, request.ifMatch);
    case 'observe':
      observers.add(request.callId, request.observerId);
      return null;
    case 'stats':
      return shard.stats();
    case 'dump':
      return shard.dump(request.callId);
    case 'announce-stop':
      shard.announceStop(request.withinMs);
      return null;
    case 'session-fetched':
      shard.sessionFetched(request.name, request.json);
      return null;
    case 'yield-call':
      shard.yieldCall(request.ufrag, request.owner);
      return null;
    case 'close':
      await shard.close(request.reason);
      return null;
  }
}

function toShardError(error: unknown): ShardError {
  if (error instanceof CallError) {
    const { status, code, message, param, retryAfter } = error;
    return { status, code, message, param, retryAfter };
  }
  return { status: 500, code: 'internal_error', message: (error as Error).message, param: null, retryAfter: null };
}
