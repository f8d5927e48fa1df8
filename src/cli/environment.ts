import type { Logger } from '../observe/log.ts';
import type { Secrets } from './roles.ts';
import { StartupError } from './startup-error.ts';

/** Shorter ones can be guessed offline from a single routing token. */
const MIN_SECRET_LENGTH = 16;

/** Tells the operator of a secret that is too short. It is taken all the same: a running deployment may have it. */
export function warnOfWeakSecret({ secret, previousSecret = secret }: Secrets, logger: Logger): void {
  if (Math.min(secret.length, previousSecret.length) >= MIN_SECRET_LENGTH) return;
  logger.warn(`the secret has fewer than ${MIN_SECRET_LENGTH} characters and can be guessed: make one with \`openssl rand -base64 32\``);
}

/** The same text in the help of every command that needs the secret. */
export const SECRET_HELP = `
Environment:
  EARSHOT_SECRET           secret of the deployment, the same for all its processes (make one: openssl rand -base64 32)
  EARSHOT_SECRET_PREVIOUS  the secret before it, still accepted while a new one is rolled out`;

/**
 * The deployment's secrets. They have no flags: a command line is readable by every user of a machine.
 * @throws {StartupError} when there is none.
 */
export function readSecrets(): Secrets {
  const secrets = findSecrets();
  if (!secrets) {
    throw new StartupError('EARSHOT_SECRET is not set: make one with `openssl rand -base64 32` and give the same to every relay and transceiver.');
  }
  return secrets;
}

/** {@link readSecrets}, but null when there is none. */
export function findSecrets(): Secrets | null {
  const secret = process.env['EARSHOT_SECRET'];
  const previousSecret = process.env['EARSHOT_SECRET_PREVIOUS'];
  if (secret === undefined) return null;
  return previousSecret === undefined ? { secret } : { secret, previousSecret };
}

/** An empty variable counts as unset: that is how container templates write a value that nobody filled in. */
export function dropEmptyVariables(): void {
  for (const [name, value] of Object.entries(process.env)) {
    if (name.startsWith('EARSHOT_') && value === '') delete process.env[name];
  }
}
