import { runCli } from './program.ts';
import { roles } from './real-roles.ts';

// A failed start leaves sockets and threads open, and a stopped server has closed them: in both cases this is the end.
process.exit(await runCli(process.argv.slice(2), roles));
