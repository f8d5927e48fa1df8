import { createRequire } from 'node:module';
import type { Manifest } from './helm.ts';

/** Throws when the data is not of the type. */
interface Model {
  new (data: Manifest): { validate(): void };
}

const load = createRequire(import.meta.url);

/** Where the validators of an API group are. */
const GROUPS: Readonly<Record<string, (version: string) => string>> = {
  '': (version) => `kubernetes-models/${version}`,
  'monitoring.coreos.com': (version) => `@kubernetes-models/prometheus-operator/monitoring.coreos.com/${version}`,
};

/**
 * Checks an object against the schema that Kubernetes publishes for it.
 * @returns what is wrong: values that the schema refuses, and fields that it does not have, which a cluster would drop
 * in silence. Empty when nothing is.
 */
export function faultsOf(manifest: Manifest): string[] {
  const [group, version] = manifest.apiVersion.includes('/') ? manifest.apiVersion.split('/') : ['', manifest.apiVersion];
  const module = (GROUPS[group] ?? ((v: string) => `kubernetes-models/${group}/${v}`))(version);
  const Model = (load(module) as Record<string, Model | undefined>)[manifest.kind];
  if (Model === undefined) return [`${manifest.apiVersion} has no ${manifest.kind}`];
  const seen = new SeenFields();
  const model = new Model(manifest);
  for (const key of Object.keys(manifest)) Object.assign(model, { [key]: seen.watch(manifest[key], `${manifest.kind}.${key}`) });
  try {
    model.validate();
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
  return seen.neverRead().map((field) => `${field}: the schema has no such field`);
}

/** The validators read each field that they know. What nobody has read is therefore no field of the type. */
class SeenFields {
  readonly #unread = new Set<string>();

  watch(value: unknown, at: string): unknown {
    if (typeof value !== 'object' || value === null) return value;
    const watched = new Map<string, unknown>();
    for (const [key, inner] of Object.entries(value)) {
      const path = `${at}.${key}`;
      watched.set(key, this.watch(inner, path));
      this.#unread.add(path);
    }
    return new Proxy(value, {
      get: (target, key) => {
        if (typeof key !== 'string' || !watched.has(key)) return Reflect.get(target, key) as unknown;
        this.#unread.delete(`${at}.${key}`);
        return watched.get(key);
      },
    });
  }

  neverRead(): string[] {
    return [...this.#unread];
  }
}
