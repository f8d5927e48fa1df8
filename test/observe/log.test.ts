import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../src/observe/log.ts';

function collect(options: { pretty: boolean; redact?: string[]; level?: 'debug' | 'info' | 'warn' }): { lines: string[]; logger: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  const logger = createLogger({ level: 'info', ...options, write: (line) => lines.push(line) });
  return { lines, logger };
}

test('JSON lines carry level by name, time and fields', () => {
  const { lines, logger } = collect({ pretty: false });
  logger.warn({ call: 'rtc_1' }, 'late');
  const line = JSON.parse(lines[0]) as Record<string, unknown>;
  assert.equal(lines[0].at(-1), '\n');
  assert.deepEqual({ ...line, time: '' }, { level: 'warn', time: '', call: 'rtc_1', msg: 'late' });
  assert.ok(!Number.isNaN(Date.parse(String(line['time']))));
});

test('lines for people are short and keep fields and the stack of an error', () => {
  const { lines, logger } = collect({ pretty: true });
  logger.info({ udp: '127.0.0.1:3478', workers: 2 }, 'relay started');
  logger.error({ err: new Error('boom') });
  assert.match(lines[0], /^\d\d:\d\d:\d\d\.\d{3} info  relay started  udp=127\.0\.0\.1:3478 workers=2\n$/);
  assert.match(lines[1], /^\S+ error.*\nError: boom\n +at /s);
});

test('levels below the one asked for are not written', () => {
  const { lines, logger } = collect({ pretty: false, level: 'warn' });
  logger.info('no');
  logger.child({ part: 'x' }).warn('yes');
  assert.equal(lines.length, 1);
});

test('no secret reaches the log, wherever it stands', () => {
  const secrets = ['the deployment secret', 'a"quoted\\secret', 'api-key-1'];
  for (const pretty of [false, true]) {
    const { lines, logger } = collect({ pretty, redact: [...secrets, ''] });
    for (const secret of secrets) {
      logger.info(`starting with ${secret}`);
      logger.info({ nested: { value: [secret] }, [secret]: 1 });
      logger.info({ err: new Error(`no: ${secret}`) });
    }
    logger.info({ headers: { authorization: 'Bearer some-token' } }, 'ek_AQabcdefghijkl-_mn');
    logger.info('a=ice-ufrag:abcd\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n');
    const text = lines.join('');
    for (const secret of [...secrets, JSON.stringify(secrets[1]).slice(1, -1), 'some-token', 'abcdefghijkl', 'bP+XJ']) {
      assert.ok(!text.includes(secret), `${secret} in ${text}`);
    }
    assert.ok(text.includes('[redacted]') && text.includes('ice-ufrag:abcd'));
    assert.equal(lines.length, secrets.length * 3 + 2);
  }
});

test('a very short key is no reason to tear words apart', () => {
  const { lines, logger } = collect({ pretty: false, redact: ['e', 'info', '$&'] });
  logger.info({ peer: 'one', key: 'e', said: 'Bearer e' }, 'information: the key is e, or info or $&.');
  const { time: _, ...line } = JSON.parse(lines[0]) as Record<string, unknown>;
  assert.deepEqual(line, { level: '[redacted]', peer: 'one', key: '[redacted]', said: 'Bearer [redacted]', msg: 'information: the key is [redacted], or [redacted] or [redacted].' });
});
