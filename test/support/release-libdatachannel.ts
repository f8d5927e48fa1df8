/** Imported for its effect: lets the process of a test file end, which libdatachannel's callbacks would keep alive. */
import { after } from 'node:test';
import { cleanup } from 'node-datachannel';

after(() => cleanup());
