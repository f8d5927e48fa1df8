import { fileURLToPath } from 'node:url';

/** The project's folder, seen from the compiled tests in `dist/test/support`. */
export const PROJECT = fileURLToPath(new URL('../../../', import.meta.url));
