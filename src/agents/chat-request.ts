import type { AgentItem, AgentResponse } from './agent.ts';

/** The conversation so far, as a chat completion asks for it. */
export function chatRequest(session: AgentResponse['session'], items: readonly AgentItem[]): object {
  const tools = (session.tools as { type: string; name: string; description?: string; parameters?: object }[])
    .filter(({ type }) => type === 'function')
    .map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } }));
  const system = session.instructions === '' ? [] : [{ role: 'system', content: session.instructions }];
  return {
    messages: [...system, ...items.flatMap(chatMessage)],
    ...(tools.length === 0 ? {} : { tools, tool_choice: toolChoice(session['tool_choice']) }),
    ...(typeof session['max_output_tokens'] === 'number' ? { max_tokens: session['max_output_tokens'] } : {}),
  };
}

/** A function that is asked for by name is named one level deeper in chats. */
function toolChoice(choice: unknown): unknown {
  const { type, name } = (typeof choice === 'object' ? choice : null) as { type?: string; name?: string } ?? {};
  return type === 'function' ? { type, function: { name } } : choice;
}

function chatMessage(item: AgentItem): object[] {
  if (item.type === 'function_call') {
    const call = { id: item['call_id'], type: 'function', function: { name: item['name'], arguments: item['arguments'] } };
    return [{ role: 'assistant', content: null, tool_calls: [call] }];
  }
  if (item.type === 'function_call_output') return [{ role: 'tool', tool_call_id: item['call_id'], content: item['output'] }];
  const parts = (item['content'] ?? []) as { text?: string; transcript?: string | null }[];
  const content = parts.map(({ text, transcript }) => text ?? transcript ?? '').join(' ').trim();
  return content === '' ? [] : [{ role: item['role'], content }];
}
