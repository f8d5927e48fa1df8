import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime';
import { CLIENT_EVENTS } from '../../src/conversation/realtime-client-events.ts';
import type { ServerEventType } from '../../src/conversation/realtime-server-events.ts';

/** All that the protocol has, and whether a call sends it: the compiler asks for each name, and for the right answer. */
const SERVER_EVENTS: { readonly [T in RealtimeServerEvent['type']]: T extends ServerEventType ? 'yes' : 'no' } = {
  'session.created': 'yes',
  'session.updated': 'yes',
  'conversation.created': 'no',
  'conversation.item.added': 'yes',
  'conversation.item.done': 'yes',
  'conversation.item.created': 'no',
  'conversation.item.retrieved': 'yes',
  'conversation.item.deleted': 'yes',
  'conversation.item.truncated': 'yes',
  'conversation.item.input_audio_transcription.completed': 'yes',
  'conversation.item.input_audio_transcription.delta': 'no',
  'conversation.item.input_audio_transcription.segment': 'no',
  'conversation.item.input_audio_transcription.failed': 'yes',
  'input_audio_buffer.speech_started': 'yes',
  'input_audio_buffer.speech_stopped': 'yes',
  'input_audio_buffer.committed': 'yes',
  'input_audio_buffer.cleared': 'yes',
  'input_audio_buffer.timeout_triggered': 'yes',
  'input_audio_buffer.dtmf_event_received': 'no',
  'output_audio_buffer.started': 'yes',
  'output_audio_buffer.stopped': 'yes',
  'output_audio_buffer.cleared': 'yes',
  'response.created': 'yes',
  'response.done': 'yes',
  'response.output_item.added': 'yes',
  'response.output_item.done': 'yes',
  'response.content_part.added': 'yes',
  'response.content_part.done': 'yes',
  'response.output_text.delta': 'yes',
  'response.output_text.done': 'yes',
  'response.output_audio.delta': 'no',
  'response.output_audio.done': 'yes',
  'response.output_audio_transcript.delta': 'yes',
  'response.output_audio_transcript.done': 'yes',
  'response.function_call_arguments.delta': 'yes',
  'response.function_call_arguments.done': 'yes',
  'response.mcp_call.in_progress': 'no',
  'response.mcp_call.completed': 'no',
  'response.mcp_call.failed': 'no',
  'response.mcp_call_arguments.delta': 'no',
  'response.mcp_call_arguments.done': 'no',
  'mcp_list_tools.in_progress': 'no',
  'mcp_list_tools.completed': 'no',
  'mcp_list_tools.failed': 'no',
  'rate_limits.updated': 'no',
  error: 'yes',
};

const page = readFileSync(new URL('../../../docs/realtime-api.md', import.meta.url), 'utf8');

/** The rows of the event table under a heading, as `name yes` or `name no`. */
function rows(heading: string): string[] {
  const part = page.split(`## ${heading}\n`)[1].split('\n## ')[0];
  return [...part.matchAll(/^\| `([a-z_.]+)` \| (yes|no) \|/gm)].map(([, name, served]) => `${name} ${served}`).sort();
}

test('the page names every event of the client, and all are served', () => {
  assert.deepEqual(rows('Events of the client'), Object.keys(CLIENT_EVENTS).map((type) => `${type} yes`).sort());
});

test('the page names every event of the server, and says truly which are sent', () => {
  assert.deepEqual(rows('Events of the server'), Object.entries(SERVER_EVENTS).map((entry) => entry.join(' ')).sort());
});
