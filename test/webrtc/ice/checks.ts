import { BINDING, StunAttribute } from '../../../src/webrtc/stun/attributes.ts';
import { StunWriter } from '../../../src/webrtc/stun/writer.ts';
import type { IceCredentials } from '../../../src/webrtc/ice/credentials.ts';

export const SERVER: IceCredentials = { ufrag: 'srvr', password: 'serverPassword+serverPassword' };
export const CLIENT: IceCredentials = { ufrag: 'clnt', password: 'clientPassword+clientPassword' };
export const SERVER_2: IceCredentials = { ufrag: 'srv2', password: 'serverPassword+serverPassword2' };
export const CLIENT_2: IceCredentials = { ufrag: 'cln2', password: 'clientPassword+clientPassword2' };

export interface CheckOptions {
  local?: IceCredentials;
  remote?: IceCredentials;
  nominate?: boolean;
  role?: number;
  id?: Uint8Array;
  password?: string;
  username?: string;
  extra?: (writer: StunWriter) => void;
}

const writer = new StunWriter();
let lastId = 0;

/** A connectivity check as a client would send it to the server, right unless told otherwise. */
export function check(options: CheckOptions = {}): Uint8Array {
  const { local = CLIENT, remote = SERVER } = options;
  const id = new Uint8Array(12);
  new DataView(id.buffer).setUint32(8, ++lastId);
  writer.begin('request', BINDING, options.id ?? id);
  writer.text(StunAttribute.username, options.username ?? `${remote.ufrag}:${local.ufrag}`);
  writer.attribute(options.role ?? StunAttribute.iceControlling, new Uint8Array(8).fill(9));
  if (options.nominate) writer.flag(StunAttribute.useCandidate);
  writer.uint32(StunAttribute.priority, 0x6e7f00ff);
  options.extra?.(writer);
  return writer.finish(options.password ?? remote.password);
}
