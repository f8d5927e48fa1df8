/** Interoperation with OpenSSL over real UDP on loopback, in both roles. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomFillSync, X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { DtlsEndpoint } from '../../../src/webrtc/dtls/index.ts';
import type { DtlsConnected, DtlsEndpointOptions, DtlsOutput } from '../../../src/webrtc/dtls/index.ts';
import { fingerprintOf } from '../../../src/webrtc/dtls/fingerprint.ts';
import type { SrtpKeyingMaterial } from '../../../src/webrtc/srtp-profile.ts';
import type { HandshakeFragment } from '../../../src/webrtc/dtls/handshake-fragment.ts';
import { dissect } from './datagrams.ts';
import { serverCertificate as ownCertificate } from './pair.ts';

const run = promisify(execFile);
/** Longest wait for anything OpenSSL does; only reached when it fails. */
const limit = 10_000;

interface Identity {
  readonly cert: string;
  readonly key: string;
  readonly der: Uint8Array;
}

describe('against OpenSSL', { timeout: 60_000 }, () => {
  let folder = '';
  const identities = new Map<string, Identity>();

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'earshot-dtls-'));
    await Promise.all([
      makeIdentity('p256', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']),
      makeIdentity('p384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384']),
      makeIdentity('rsa', ['-newkey', 'rsa:2048']),
    ]);
  });
  after(() => rm(folder, { recursive: true }));

  async function makeIdentity(name: string, keyOptions: string[]): Promise<void> {
    const cert = path.join(folder, `${name}.pem`);
    const key = path.join(folder, `${name}.key`);
    await run('openssl', ['req', '-x509', '-nodes', '-subj', '/CN=peer', ...keyOptions, '-keyout', key, '-out', cert]);
    identities.set(name, { cert, key, der: new X509Certificate(await readFile(cert)).raw });
  }

  interface Row {
    readonly name: string;
    readonly identity: string;
    readonly arguments: string[];
    readonly suite: string;
    /** That the row exercises what its name says. */
    readonly proof: (seen: readonly HandshakeFragment[], child: Openssl) => void | Promise<unknown>;
  }

  const asServer: Row[] = [
    { name: 'X25519', identity: 'p256', arguments: ['-groups', 'X25519:P-256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: clientKeyOf(32) },
    { name: 'P-256', identity: 'p256', arguments: ['-groups', 'P-256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: clientKeyOf(65) },
    { name: 'an RSA client certificate', identity: 'rsa', arguments: [], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: signatureScheme(0x0804) },
    { name: 'RSA signatures of PKCS #1 1.5', identity: 'rsa', arguments: ['-sigalgs', 'RSA+SHA512:ECDSA+SHA256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: signatureScheme(0x0601) },
    // In DTLS 1.2 ecdsa_secp256r1_sha256 names the hash alone, not the curve.
    { name: 'a P-384 client certificate', identity: 'p384', arguments: [], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: signatureScheme(0x0403) },
    { name: 'AES-256-GCM', identity: 'p256', arguments: ['-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384'], suite: 'ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', proof: prints(/AES256-GCM/) },
    { name: 'fragments for a small MTU', identity: 'rsa', arguments: ['-mtu', '256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: fragments },
    { name: 'no extended master secret', identity: 'p256', arguments: ['config:-extended_master_secret'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: prints(/Extended master secret: no/) },
  ];
  for (const row of asServer) {
    test(`as server: keys, data and close agree with s_client: ${row.name}`, async () => {
      const identity = identities.get(row.identity)!;
      const pump = await Pump.start({ role: 'server', remoteFingerprints: [fingerprintOf(identity.der, 'sha-256')], mtu: 300 });
      const { environment, rest } = await configuration(row.arguments);
      const child = openssl(
        ['s_client', '-dtls1_2', '-connect', `127.0.0.1:${pump.port}`, '-cert', identity.cert, '-key', identity.key, ...keying(56, 'SRTP_AEAD_AES_128_GCM'), ...rest],
        environment,
      );
      try {
        await compareSession(pump, child, row.suite, identity, 'server');
        await row.proof(pump.seen, child);
      } finally {
        await stop(child.process, pump);
      }
    });
  }

  const asClient: Row[] = [
    { name: 'X25519 and HelloVerifyRequest', identity: 'p256', arguments: ['-groups', 'X25519:P-256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: (seen) => assert.ok(seen.some((fragment) => fragment.type === 3)) },
    { name: 'P-256', identity: 'p256', arguments: ['-groups', 'P-256'], suite: 'ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', proof: serverKeyOf(65) },
    { name: 'an RSA server certificate', identity: 'rsa', arguments: ['-cipher', 'ECDHE-RSA-AES256-GCM-SHA384'], suite: 'ECDHE_RSA_WITH_AES_256_GCM_SHA384', proof: prints(/AES256-GCM/) },
    { name: 'fragments for a small MTU', identity: 'rsa', arguments: ['-mtu', '256'], suite: 'ECDHE_RSA_WITH_AES_128_GCM_SHA256', proof: fragments },
  ];
  for (const row of asClient) {
    test(`as client: keys, data and close agree with s_server: ${row.name}`, async () => {
      const identity = identities.get(row.identity)!;
      const port = await freePort();
      const child = openssl([
        's_server', '-dtls1_2', '-accept', `127.0.0.1:${port}`, '-cert', identity.cert, '-key', identity.key, '-Verify', '1', '-naccept', '1',
        ...keying(60, 'SRTP_AES128_CM_SHA1_80'), ...row.arguments,
      ]);
      await child.output(/ACCEPT/);
      const pump = await Pump.start({ role: 'client', remoteFingerprints: [fingerprintOf(identity.der, 'sha-256')], mtu: 300 }, port);
      try {
        await compareSession(pump, child, row.suite, identity, 'client');
        await row.proof(pump.seen, child);
      } finally {
        await stop(child.process, pump);
      }
    });
  }

  test('as server: an announced certificate other than the one shown ends in bad_certificate at s_client', async () => {
    const identity = identities.get('p256')!;
    const pump = await Pump.start({ role: 'server', remoteFingerprints: [fingerprintOf(identities.get('rsa')!.der, 'sha-256')] });
    const child = openssl(['s_client', '-dtls1_2', '-connect', `127.0.0.1:${pump.port}`, '-cert', identity.cert, '-key', identity.key]);
    try {
      const closed = await pump.event('closed');
      assert.deepEqual({ reason: closed.reason, alert: closed.alert }, { reason: 'fingerprint-mismatch', alert: 'bad_certificate' });
      await child.output(/alert bad certificate/);
    } finally {
      await stop(child.process, pump);
    }
  });

  test('as server: a client without a certificate ends in handshake_failure at s_client', async () => {
    const pump = await Pump.start({ role: 'server', remoteFingerprints: [ownCertificate.fingerprint('sha-256')] });
    const child = openssl(['s_client', '-dtls1_2', '-connect', `127.0.0.1:${pump.port}`]);
    try {
      assert.equal((await pump.event('closed')).reason, 'peer-certificate-missing');
      await child.output(/alert handshake failure/);
    } finally {
      await stop(child.process, pump);
    }
  });

  test('as server: the renegotiation that s_client asks for is refused and the association lives on', async () => {
    const identity = identities.get('p256')!;
    const pump = await Pump.start({ role: 'server', remoteFingerprints: [fingerprintOf(identity.der, 'sha-256')] });
    const child = openssl(['s_client', '-dtls1_2', '-connect', `127.0.0.1:${pump.port}`, '-cert', identity.cert, '-key', identity.key]);
    try {
      await pump.event('connected');
      await child.output(/Verify return code/);
      child.process.stdin!.write('R\n');
      await child.output(/RENEGOTIATING/);
      await pump.until(() => pump.endpoint.counters.dropped.renegotiation > 0);
      assert.equal(pump.endpoint.state, 'connected');
    } finally {
      await stop(child.process, pump);
    }
  });

  /** Options of OpenSSL's configuration that the command line lacks are written to a file. */
  async function configuration(list: string[]): Promise<{ environment: NodeJS.ProcessEnv; rest: string[] }> {
    const option = list.find((item) => item.startsWith('config:'))?.slice(7);
    const rest = list.filter((item) => !item.startsWith('config:'));
    if (!option) return { environment: process.env, rest };
    const file = path.join(folder, 'openssl.cnf');
    const lines = ['openssl_conf = init', '[init]', 'ssl_conf = ssl', '[ssl]', 'system_default = defaults', '[defaults]', `Options = ${option.replace('-extended_master_secret', '-ExtendedMasterSecret')}`];
    await writeFile(file, `${lines.join('\n')}\n`);
    return { environment: { ...process.env, OPENSSL_CONF: file }, rest };
  }
});

async function compareSession(pump: Pump, child: Openssl, suite: string, identity: Identity, role: 'server' | 'client'): Promise<void> {
  const connected = await pump.event('connected');
  assert.equal(connected.cipherSuite, `TLS_${suite}`);
  assert.deepEqual(Buffer.from(connected.peerCertificate), Buffer.from(identity.der));
  const exported = await child.output(/Keying material: ([0-9A-F]+)/);
  assert.equal(joined(connected, role).toUpperCase(), exported[1]);
  pump.send('from earshot\n');
  await child.output(/from earshot/);
  child.process.stdin!.write('from openssl\n');
  await pump.until(() => pump.received.includes('from openssl'));
  if (role === 'server') {
    child.process.stdin!.end();
    assert.equal((await pump.event('closed')).reason, 'peer-close');
  } else {
    pump.close();
    if (child.process.exitCode === null) await once(child.process, 'exit');
  }
}

/** Length of the client's public key: its group. */
function clientKeyOf(length: number) {
  return (seen: readonly HandshakeFragment[]): void => assert.equal(seen.find((fragment) => fragment.type === 16)!.part[0], length);
}

function serverKeyOf(length: number) {
  return (seen: readonly HandshakeFragment[]): void => assert.equal(seen.find((fragment) => fragment.type === 12)!.part[3], length);
}

function signatureScheme(id: number) {
  return (seen: readonly HandshakeFragment[]): void => {
    const verify = seen.find((fragment) => fragment.type === 15 && fragment.offset === 0)!;
    assert.equal((verify.part[0] << 8) | verify.part[1], id);
  };
}

function prints(pattern: RegExp) {
  return (_: readonly HandshakeFragment[], child: Openssl): Promise<unknown> => child.output(pattern);
}

function fragments(seen: readonly HandshakeFragment[]): void {
  assert.ok(seen.some((fragment) => fragment.part.length < fragment.length));
}

/** The exporter's block, put together again from the keys and salts of both sides. */
function joined(connected: DtlsConnected, role: 'server' | 'client'): string {
  const srtp: SrtpKeyingMaterial = connected.srtp!;
  const local = [srtp.localKey, srtp.localSalt] as const;
  const remote = [srtp.remoteKey, srtp.remoteSalt] as const;
  const [client, server] = role === 'client' ? [local, remote] : [remote, local];
  return Buffer.concat([client[0], server[0], client[1], server[1]]).toString('hex');
}

function keying(length: number, profile: string): string[] {
  return ['-use_srtp', profile, '-keymatexport', 'EXTRACTOR-dtls_srtp', '-keymatexportlen', String(length)];
}

interface Openssl {
  readonly process: ChildProcess;
  /** Waits until the output, standard error included, has what is looked for. */
  output(pattern: RegExp): Promise<RegExpExecArray>;
}

function openssl(args: string[], environment = process.env): Openssl {
  const child = spawn('openssl', args, { env: environment });
  let text = '';
  const collect = (chunk: Buffer): void => {
    text += chunk.toString();
    child.emit('text');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  return {
    process: child,
    async output(pattern) {
      const signal = AbortSignal.timeout(limit);
      for (;;) {
        const match = pattern.exec(text);
        if (match) return match;
        await once(child, 'text', { signal }).catch((cause: unknown) => {
          throw new Error(`OpenSSL did not print ${pattern}:\n${text}`, { cause });
        });
      }
    },
  };
}

async function stop(child: ChildProcess, pump: Pump): Promise<void> {
  pump.stop();
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** Gives an endpoint a UDP socket and a clock. */
class Pump {
  readonly endpoint: DtlsEndpoint;
  readonly #socket: Socket;
  readonly #outputs: DtlsOutput[] = [];
  #peer: { port: number; address: string } | null;
  #timer: NodeJS.Timeout | undefined;
  #wake: () => void = () => {};
  received = '';
  /** Handshake fragments that came in clear text. */
  readonly seen: HandshakeFragment[] = [];

  static async start(options: Pick<DtlsEndpointOptions, 'role' | 'remoteFingerprints' | 'mtu'>, peerPort?: number): Promise<Pump> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new Pump(socket, options, peerPort);
  }

  private constructor(socket: Socket, options: Pick<DtlsEndpointOptions, 'role' | 'remoteFingerprints' | 'mtu'>, peerPort?: number) {
    this.#socket = socket;
    this.#peer = peerPort === undefined ? null : { port: peerPort, address: '127.0.0.1' };
    this.endpoint = new DtlsEndpoint({
      ...options,
      certificate: ownCertificate,
      srtpProfiles: ['AEAD_AES_128_GCM', 'AES128_CM_HMAC_SHA1_80'],
      random: (bytes) => randomFillSync(bytes),
      now: performance.now(),
    });
    socket.on('message', (data, from) => {
      this.#peer = from;
      this.seen.push(...dissect(data).flatMap((record) => record.fragments));
      this.endpoint.handleDatagram(data, performance.now());
      this.#drain();
    });
    this.#drain();
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(text: string): void {
    this.endpoint.send(Buffer.from(text), performance.now());
    this.#drain();
  }

  close(): void {
    this.endpoint.close(performance.now());
    this.#drain();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#socket.close();
  }

  async event<T extends 'connected' | 'closed'>(type: T): Promise<Extract<DtlsOutput, { type: T }>> {
    const find = (): DtlsOutput | undefined => this.#outputs.find((output) => output.type === type);
    await this.until(() => find() !== undefined);
    return find() as Extract<DtlsOutput, { type: T }>;
  }

  async until(condition: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(limit);
    while (!condition()) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener('abort', () => resolve());
      });
    }
  }

  #drain(): void {
    for (;;) {
      const output = this.endpoint.poll();
      if (output.type === 'timeout') {
        clearTimeout(this.#timer);
        if (output.at !== Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.#expire(), output.at - performance.now());
        break;
      }
      if (output.type === 'transmit') this.#socket.send(output.data.slice(), this.#peer!.port, this.#peer!.address);
      else if (output.type === 'data') this.received += Buffer.from(output.data).toString();
      else this.#outputs.push(output);
    }
    this.#wake();
  }

  #expire(): void {
    this.endpoint.handleTimeout(performance.now());
    this.#drain();
  }
}
