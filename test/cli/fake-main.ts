import { runCli } from '../../src/cli/program.ts';
import { fakeRoles } from './fake-roles.ts';

// The command line as a process of its own, on fake roles.
process.exit(await runCli(process.argv.slice(2), fakeRoles));
