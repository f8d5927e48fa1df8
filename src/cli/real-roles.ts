import type { Roles } from './roles.ts';

/**
 * The roles as they are built elsewhere, loaded when a command starts one: `token` has no need of a media stack, nor
 * a relay of an agent.
 */
export const roles: Roles = {
  async startRelay(options) {
    const { startRelay } = await load<Pick<Roles, 'startRelay'>>('../relay/index.js');
    return startRelay(options);
  },
  async startTransceiver(options) {
    const { startTransceiver } = await load<Pick<Roles, 'startTransceiver'>>('../transceiver/index.js');
    return startTransceiver(options);
  },
  async routingKeys({ secret, previousSecret }) {
    const { RoutingKeys } = await load<{ RoutingKeys: RoutingKeysConstructor }>('../wire/routing-token.js');
    return new RoutingKeys(secret, previousSecret);
  },
};

type RoutingKeysConstructor = new (secret: string, previous?: string) => Awaited<ReturnType<Roles['routingKeys']>>;

async function load<T>(path: string): Promise<T> {
  return (await import(new URL(path, import.meta.url).href)) as T;
}
