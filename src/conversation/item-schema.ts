/** What clients may put into a conversation. Fields that are not listed pass through unread. */
import { z } from 'zod';

const itemFields = {
  id: z.string().min(1).max(64).exactOptional(),
  object: z.literal('realtime.item').exactOptional(),
  status: z.enum(['completed', 'incomplete', 'in_progress']).exactOptional(),
};

/** Only text must be there: sound is neither kept nor given, and what else a part holds is for the agent to read. */
const textFields = { transcript: z.string().nullable().exactOptional() };
const inputText = z.looseObject({ ...textFields, type: z.literal('input_text'), text: z.string() });
const inputAudio = z.looseObject({ ...textFields, type: z.literal('input_audio'), text: z.string().exactOptional() });
const inputImage = z.looseObject({ ...textFields, type: z.literal('input_image'), text: z.string().exactOptional() });
const outputText = z.looseObject({ ...textFields, type: z.literal('output_text'), text: z.string() });
const outputAudio = z.looseObject({ ...textFields, type: z.literal('output_audio'), text: z.string().exactOptional() });

function message<R extends string, C extends z.ZodType>(role: R, part: C) {
  return z.looseObject({ type: z.literal('message'), ...itemFields, role: z.literal(role), content: z.array(part) });
}

export const itemSchema = z.discriminatedUnion('type', [
  z.discriminatedUnion('role', [
    message('user', z.discriminatedUnion('type', [inputText, inputAudio, inputImage])),
    message('assistant', z.discriminatedUnion('type', [outputText, outputAudio])),
    message('system', z.discriminatedUnion('type', [inputText])),
  ]),
  z.looseObject({ type: z.literal('function_call'), ...itemFields, name: z.string(), arguments: z.string(), call_id: z.string().exactOptional() }),
  z.looseObject({ type: z.literal('function_call_output'), ...itemFields, call_id: z.string(), output: z.string() }),
]);
