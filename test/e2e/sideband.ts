import { WebSocket } from 'ws';
import { EventMailbox, type RealtimeEvent } from '../support/event-mailbox.ts';

/** Follows a call from outside. `url`: of any server that leads to it; `location`: as in the answer to the offer. */
export function follow(url: string, location: string): { socket: WebSocket; events: EventMailbox } {
  const socket = new WebSocket(`${url.replace('http:', 'ws:')}/v1/realtime?call_id=${location.split('/').at(-1)}`);
  const events = new EventMailbox();
  socket.on('message', (data: Buffer) => events.put(JSON.parse(data.toString()) as RealtimeEvent));
  socket.on('close', () => events.close());
  return { socket, events };
}
