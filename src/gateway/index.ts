export { createGatewayServer, type GatewayServerOptions } from './gateway-server.ts';
export { startGateway, type Gateway, type GatewayOptions } from './gateway.ts';
export { HEADER_SETS, type HeaderSet } from './locate.ts';
