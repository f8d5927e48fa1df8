import { runCli } from '../../src/cli/program.ts';
import { fakeRoles } from './fake-roles.ts';
import type { BatchCase, Outcome } from './run.ts';

// Runs many commands that end by themselves in one process, because starting one each takes most of the time.
const cases = JSON.parse(process.argv[2]) as BatchCase[];
const outcomes: Outcome[] = [];
const write = process.stdout.write.bind(process.stdout);

for (const { args, env } of cases) {
  for (const name of Object.keys(process.env)) if (/^(EARSHOT|FAKE)_/.test(name)) delete process.env[name];
  Object.assign(process.env, env);
  const outcome = { code: 0, stdout: '', stderr: '' };
  process.stdout.write = (text) => Boolean((outcome.stdout += String(text)));
  process.stderr.write = (text) => Boolean((outcome.stderr += String(text)));
  outcome.code = await runCli(args, fakeRoles);
  outcomes.push(outcome);
}
write(JSON.stringify(outcomes), () => process.exit(0));
