import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { formatAddress, parseAddress, type TransportAddress } from '../wire/address.ts';
import { allIngress, type Cluster, type Clusters, type Ingress, type Place } from './clusters.ts';

/** A clusters file that says something impossible. The message names the place in the file and what is expected. */
export class ClustersError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.name = 'ClustersError';
  }
}

const latitude = z.number().min(-90).max(90);
const longitude = z.number().min(-180).max(180);
const address = z.string().transform((text, context): TransportAddress => {
  const parsed = readAddress(text);
  if (parsed) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not an address: write 192.0.2.1:3478 or [2001:db8::1]:3478` });
  return z.NEVER;
});
const origin = z.string().transform((text, context): URL => {
  const url = readOrigin(text);
  if (url) return url;
  context.addIssue({ code: 'custom', message: `"${text}" is not an origin: write https://host or http://host:port, without a path` });
  return z.NEVER;
});
const transceiver = z.string().refine(
  (text) => text.includes('{ip}') && readOrigin(text.replace('{ip}', '192.0.2.1')) !== null,
  { error: 'write an origin with {ip} for its host, as http://{ip}:8080' },
);

const clusterSchema = z.strictObject({
  id: z.int().min(0).max(0xffff),
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'write a name of lower-case letters, digits, dots and dashes'),
  latitude,
  longitude,
  signaling: origin,
  transceiver: transceiver.optional(),
  trunk: z.array(address.refine(({ family }) => family === 4, 'the trunk is IPv4: write 10.0.0.5:7000')).default([]),
  direct: z.boolean().default(false),
  capacity: z.int().min(1).optional(),
  ingress: z
    .array(
      z
        .strictObject({ address, latitude: latitude.optional(), longitude: longitude.optional(), global: z.boolean().default(false), http: origin.optional() })
        .refine((entry) => (entry.latitude === undefined) === (entry.longitude === undefined), 'give both latitude and longitude, or none for those of the cluster'),
    )
    .default([]),
});

const fileSchema = z.strictObject({
  clusters: z.array(clusterSchema).min(1, 'there must be at least one cluster'),
  ingress: z.array(z.strictObject({ address, latitude, longitude, http: origin.optional() })).default([]),
});

/**
 * Reads the text of a clusters file.
 * @throws {ClustersError} that names the first thing at fault.
 */
export function parseClusters(text: string): Clusters {
  const result = fileSchema.safeParse(readYaml(text));
  if (!result.success) throw new ClustersError(describe(result.error.issues[0]), { cause: result.error });
  const { clusters, ingress } = result.data;
  const list = clusters.map(toCluster);
  const standing = ingress.map((entry): Ingress => ({ address: entry.address, place: placeOf(entry), global: true, http: entry.http ?? null }));
  requireUnique(list, 'id', ({ id }) => String(id));
  requireUnique(list, 'name', ({ name }) => name);
  const read = { list, byId: new Map(list.map((cluster) => [cluster.id, cluster])), ingress: standing };
  const addresses = allIngress(read).map((entry) => formatAddress(entry.address));
  const twice = addresses.find((entry, i) => addresses.indexOf(entry) !== i);
  if (twice !== undefined) throw new ClustersError(`ingress: ${twice} is listed twice`);
  return read;
}

function readYaml(text: string): unknown {
  try {
    // Aliases make small files expand without bound, and nothing here needs them.
    return parseYaml(text, { maxAliasCount: 0, prettyErrors: true });
  } catch (error) {
    if (error instanceof YAMLParseError) throw new ClustersError(error.message.split('\n', 1)[0].replace(/:$/, ''), { cause: error });
    throw new ClustersError(`this is not YAML: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function toCluster(entry: z.output<typeof clusterSchema>): Cluster {
  const { id, name, signaling, trunk, direct } = entry;
  const place = placeOf(entry);
  const ingress = entry.ingress.map(({ address: at, latitude: north, longitude: east, global, http }): Ingress => ({
    address: at,
    place: north === undefined || east === undefined ? place : { latitude: north, longitude: east },
    global,
    http: http ?? null,
  }));
  return { id, name, place, signaling, transceiver: entry.transceiver ?? null, trunk, direct, capacity: entry.capacity ?? null, ingress };
}

function placeOf({ latitude: north, longitude: east }: Place): Place {
  return { latitude: north, longitude: east };
}

function requireUnique(list: readonly Cluster[], key: string, keyOf: (cluster: Cluster) => string): void {
  const seen = new Map<string, number>();
  for (const [i, cluster] of list.entries()) {
    const value = keyOf(cluster);
    const before = seen.get(value);
    if (before !== undefined) throw new ClustersError(`clusters[${i}].${key}: ${value} is that of clusters[${before}] already`);
    seen.set(value, i);
  }
}

/** `clusters[1].ingress[0].address: … `, as one would write it to reach the value. */
function describe({ path, message }: z.core.$ZodIssue): string {
  const at = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('').replace(/^\./, '');
  return `${at || 'the file'}: ${message}`;
}

function readAddress(text: string): TransportAddress | null {
  try {
    const parsed = parseAddress(text);
    return parsed.port === 0 ? null : parsed;
  } catch {
    return null;
  }
}

function readOrigin(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const isOrigin = (url.protocol === 'http:' || url.protocol === 'https:') && url.href === `${url.origin}/`;
  return isOrigin ? url : null;
}
