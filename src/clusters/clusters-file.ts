import { watch, type FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from '../observe/log.ts';
import type { Clusters } from './clusters.ts';
import { ClustersError, parseClusters } from './parse-clusters.ts';

/** Editors and volume mounts change a file in several steps: it is read once they are through, ms. */
const SETTLE_MS = 100;

/**
 * The clusters file of a running process. Its folder is watched, so that it may be replaced as a whole: by a rename, or
 * by the link that a mounted ConfigMap swaps. A new version that cannot be used is refused with one line in the log,
 * and the one before stays.
 */
export class ClustersFile {
  readonly #path: string;
  readonly #logger: Logger;
  readonly #watcher: FSWatcher;
  readonly #listeners: ((clusters: Clusters) => void)[] = [];
  #current: Clusters;
  #text: string;
  #timer: NodeJS.Timeout | null = null;

  /** @throws {ClustersError} when the file cannot be read or says something impossible. */
  static async open(file: string, logger: Logger): Promise<ClustersFile> {
    const text = await read(file);
    try {
      return new ClustersFile(file, logger, text, parseClusters(text));
    } catch (error) {
      throw error instanceof ClustersError ? new ClustersError(`${file}: ${error.message}`, { cause: error }) : error;
    }
  }

  private constructor(file: string, logger: Logger, text: string, clusters: Clusters) {
    this.#path = file;
    this.#logger = logger;
    this.#text = text;
    this.#current = clusters;
    this.#watcher = watch(path.dirname(file), { persistent: false }, () => this.#changed());
    this.#watcher.on('error', (error) => logger.error({ err: error }, 'the clusters file is not watched any more'));
  }

  get current(): Clusters {
    return this.#current;
  }

  /** Told of each new version that is in force from then on. */
  onChange(listener: (clusters: Clusters) => void): void {
    this.#listeners.push(listener);
  }

  /** Stops watching. Idempotent. */
  close(): void {
    this.#watcher.close();
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #changed(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#reload(), SETTLE_MS).unref();
  }

  async #reload(): Promise<void> {
    const file = this.#path;
    try {
      const text = await read(file);
      if (text === this.#text) return;
      // A bad version is told of once, not at every event in the folder.
      this.#text = text;
      this.#current = parseClusters(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#logger.error({ file, reason }, 'the new clusters file is refused; the one before stays in force');
      return;
    }
    this.#logger.info({ file, clusters: this.#current.list.map(({ name }) => name) }, 'clusters file reloaded');
    for (const listener of this.#listeners) listener(this.#current);
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new ClustersError(`${file} cannot be read (${code})`, { cause: error });
  }
}
