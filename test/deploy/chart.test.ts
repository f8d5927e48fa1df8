import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { buildProgram } from '../../src/cli/program.ts';
import { roles } from '../../src/cli/real-roles.ts';
import { parseClusters } from '../../src/clusters/parse-clusters.ts';
import { PROJECT } from '../support/paths.ts';
import { CHART, helm, type Manifest, render } from './helm.ts';
import { faultsOf } from './kubernetes-schemas.ts';
import { commandLine, type Container, containers, ownContainers, portNumber, portOfFlag, type Workload, workloads } from './pods.ts';

const VALUE_SETS = readdirSync(path.join(PROJECT, 'test/deploy/values'));
const SECRETS = ['EARSHOT_SECRET', 'EARSHOT_SECRET_PREVIOUS'];
/** What the kubelet puts in for `$(POD_IP)`. */
const VARIABLES = { POD_IP: '10.0.0.9' };

for (const values of VALUE_SETS) {
  const manifests = render([values]);
  const all = workloads(manifests);

  suite(`chart with ${values}`, () => {
    test('passes helm lint', () => {
      helm('lint', CHART, '--strict', '--quiet', '--values', path.join(PROJECT, 'test/deploy/values', values));
    });

    test('every object is what the Kubernetes schemas allow, with no field that they lack', () => {
      for (const manifest of manifests) assert.deepEqual(faultsOf(manifest), [], `${manifest.kind} ${manifest.metadata.name}`);
    });

    test('no two objects have the same kind and name', () => {
      const names = manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
      assert.deepEqual(names, [...new Set(names)]);
    });

    test('containers have no privileges, no writable root and bounded memory', () => {
      for (const { spec } of all) {
        const pod = spec.template.spec;
        assert.equal(pod.securityContext.runAsNonRoot, true);
        assert.ok(pod.securityContext.runAsUser > 0);
        assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
        assert.equal(pod.automountServiceAccountToken, false);
      }
      for (const { name, securityContext, resources } of containers(manifests)) {
        const { allowPrivilegeEscalation, readOnlyRootFilesystem, privileged, capabilities } = securityContext;
        assert.deepEqual({ name, allowPrivilegeEscalation, readOnlyRootFilesystem, privileged, capabilities }, {
          name, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, privileged: false, capabilities: { drop: ['ALL'] },
        });
        assert.ok(resources.requests?.['cpu'] && resources.requests['memory'] && resources.limits?.['memory'], `${name} has resources`);
      }
    });

    test('every selector selects the pods that it is meant for', () => {
      for (const { metadata, spec } of all) assertSelects(spec.selector.matchLabels, spec.template.metadata.labels, metadata.name);
      const roles = (selector: Readonly<Record<string, string>>): string[] => all.filter((each) => selects(selector, each)).map(componentOf);
      for (const manifest of manifests) {
        const expected = manifest.metadata.labels?.['app.kubernetes.io/component'] ?? '';
        const selector = selectorOf(manifest);
        if (selector !== null) assert.deepEqual(roles(selector), [expected], `${manifest.kind} ${manifest.metadata.name}`);
      }
    });

    test('probes, services and autoscalers point at what exists', () => {
      for (const container of containers(manifests)) {
        const names = (container.ports ?? []).map(({ name }) => name);
        assert.deepEqual(names, [...new Set(names)]);
        for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
          const { httpGet, tcpSocket } = (container[probe] ?? {}) as { httpGet?: { port: string | number; path: string }; tcpSocket?: { port: string } };
          if (tcpSocket) assert.ok(names.includes(tcpSocket.port), `${container.name}: ${probe} asks port ${tcpSocket.port}`);
          if (!httpGet) continue;
          assert.equal(portNumber(container, httpGet.port), portOfFlag(container, '--http'), `${container.name}: ${probe}`);
          assert.ok(['/healthz', '/readyz'].includes(httpGet.path));
        }
        assert.ok(container['readinessProbe'], `${container.name} has a readiness probe`);
      }
      for (const service of manifests.filter(({ kind }) => kind === 'Service')) {
        const { selector, ports } = service['spec'] as { selector: Record<string, string>; ports: { name: string; targetPort: string | number; protocol: string }[] };
        const [target] = all.filter((each) => selects(selector, each));
        const [container] = target.spec.template.spec.containers;
        for (const { name, targetPort, protocol } of ports) {
          const declared = container.ports?.find((port) => port.name === targetPort);
          if (declared) assert.equal(declared.protocol, protocol, `${service.metadata.name}: ${targetPort}`);
          else assert.equal(targetPort, portOfFlag(container, name === 'media' ? '--udp' : '--http'), `${service.metadata.name}: ${targetPort}`);
        }
      }
      for (const scaler of manifests.filter(({ kind }) => kind === 'HorizontalPodAutoscaler')) {
        const { name, kind } = (scaler['spec'] as { scaleTargetRef: { name: string; kind: string } }).scaleTargetRef;
        const target = all.find((each) => each.metadata.name === name && each.kind === kind);
        assert.ok(target, `${scaler.metadata.name} scales ${kind} ${name}`);
        assert.ok(!('replicas' in target.spec), 'a Deployment with replicas would reset what the autoscaler has set');
      }
    });

    test('relays find the trunks of the transceivers, those that drain too, by a name without an address of its own', () => {
      const [, name, namespace, port] = all
        .filter((each) => componentOf(each) === 'relay')
        .map(({ spec }) => spec.template.spec.containers[0].args.find((arg) => arg.startsWith('--transceivers')) ?? '')
        .map((arg) => /^--transceivers=([a-z0-9-]{1,63})\.([a-z0-9-]+)\.svc:(\d+)$/.exec(arg))[0]!;
      const service = manifests.find(({ kind, metadata }) => kind === 'Service' && metadata.name === name)!;
      assert.equal(service.metadata.namespace, namespace);
      const { selector, clusterIP, publishNotReadyAddresses } = service['spec'] as { selector: Record<string, string>; clusterIP: string; publishNotReadyAddresses: boolean };
      assert.deepEqual({ clusterIP, publishNotReadyAddresses }, { clusterIP: 'None', publishNotReadyAddresses: true });
      const [transceiver] = all.filter((each) => selects(selector, each));
      assert.equal(componentOf(transceiver), 'transceiver');
      assert.equal(portOfFlag(transceiver.spec.template.spec.containers[0], '--trunk'), Number(port));
    });

    test('volumes that are mounted exist', () => {
      for (const { spec } of all) {
        const volumes = (spec.template.spec.volumes ?? []).map(({ name }) => name);
        for (const { volumeMounts = [] } of spec.template.spec.containers) for (const { name } of volumeMounts) assert.ok(volumes.includes(name), name);
      }
    });

    test('every argument and variable is one of the command line', () => {
      for (const container of ownContainers(manifests)) assertUnderstood(container);
    });

    test('the grace period leaves time for preStop, drain and closing', () => {
      for (const { spec } of all) {
        const { containers: [container], terminationGracePeriodSeconds = 30 } = spec.template.spec;
        const drain = Number(/^--drain-timeout=(\d+)s$/.exec(container.args.find((arg) => arg.startsWith('--drain-timeout')) ?? '')?.[1] ?? 0);
        const hook = container['lifecycle'] as { preStop: { exec: { command: string[] } } } | undefined;
        const wait = Number(hook?.preStop.exec.command[1] ?? 0);
        assert.ok(terminationGracePeriodSeconds >= drain + wait + 10, container.name);
      }
    });

    const policy = manifests.find(isTransceiverPolicy);
    if (policy === undefined) return;
    test('only relays, and networks that were named, reach the trunk of a transceiver', () => {
      const { ingress } = policy['spec'] as { ingress: { from?: { podSelector?: { matchLabels: Record<string, string> } }[]; ports: { protocol: string; port: number; endPort: number }[] }[] };
      const trunk = ingress.filter(({ ports }) => ports.some(({ protocol }) => protocol === 'UDP'));
      const [transceiver] = all.filter((each) => componentOf(each) === 'transceiver');
      const ports = transceiver.spec.template.spec.containers[0].ports!.filter(({ protocol }) => protocol === 'UDP').map(({ containerPort }) => containerPort);
      assert.equal(trunk.length, 1);
      assert.deepEqual(trunk[0].ports, [{ protocol: 'UDP', port: Math.min(...ports), endPort: Math.max(...ports) }]);
      const pods = (trunk[0].from ?? []).flatMap(({ podSelector }) => (podSelector ? [podSelector.matchLabels] : []));
      assert.deepEqual(pods.flatMap((labels) => all.filter((each) => selects(labels, each)).map(componentOf)), ['relay']);
      assert.ok(ingress.every(({ from }) => (from ?? []).length > 0), 'a rule without `from` lets everybody in');
    });
  });
}

test('the clusters file that the chart writes is one that the gateway reads', () => {
  for (const values of VALUE_SETS) {
    const map = render([values]).find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.endsWith('-clusters'));
    if (map === undefined) continue;
    const { list } = parseClusters((map['data'] as { 'clusters.yaml': string })['clusters.yaml']);
    assert.ok(list.length > 0 && list.every(({ ingress }) => ingress.length > 0), values);
  }
});

test('the values file documents every value, and the schema knows all of them and no others', () => {
  const text = readFileSync(path.join(CHART, 'values.yaml'), 'utf8');
  const schema = JSON.parse(readFileSync(path.join(CHART, 'values.schema.json'), 'utf8')) as Schema;
  const { global: _ofHelm, ...properties } = schema.properties ?? {};
  assert.deepEqual(namesIn(parse(text) as object, { properties }), namesOf({ properties }));
});

test('what is misspelt, of the wrong type or missing is refused in a sentence', () => {
  assert.throws(() => render(['minimal.yaml'], ['transceiver.maxCall=1']), /'maxCall' not allowed/);
  assert.throws(() => render(['minimal.yaml'], ['relay.replicas=many']), /relay\/replicas/);
  assert.throws(() => render(['minimal.yaml'], ['ingress={203.0.113.7}']), /ingress/);
  assert.throws(() => render([]), /ingress is empty: give the public UDP address of the relays/);
});

test('with a handover the new relay comes first, and nothing binds the ports of a node to one pod', () => {
  const [relay] = workloads(render(['host-network.yaml'])).filter((each) => componentOf(each) === 'relay');
  const { updateStrategy, template } = relay.spec as Workload['spec'] & { updateStrategy: { rollingUpdate: object } };
  assert.deepEqual(updateStrategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 });
  const [container] = template.spec.containers;
  assert.equal(container.ports, undefined, 'a port of a container on the host is reserved for its pod');
  assert.ok(container.args.includes('--stay-after-handover'));
  assert.ok(container.args.includes('--handover=@voice/edge-earshot'), 'no file: none is writable');
  assert.throws(() => render(['minimal.yaml'], ['relay.handover=true']), /relay.handover needs relay.kind=DaemonSet and relay.hostNetwork=true/);
});

test('a secret is made when none is given, and none is made when one exists', () => {
  const secrets = (values: string): Manifest[] => render([values]).filter(({ kind }) => kind === 'Secret');
  const made = secrets('minimal.yaml').map(({ metadata, ...rest }) => ({ ...metadata.annotations, ...(rest['data'] as Record<string, string>) }));
  assert.deepEqual(made.map((each) => each['helm.sh/resource-policy']), ['keep', 'keep']);
  for (const value of [made[0]['secret'], made[1]['api-key']]) assert.match(Buffer.from(value, 'base64').toString(), /^[A-Za-z0-9]{43}$/);
  assert.deepEqual(secrets('host-network.yaml'), []);
});

test('the image of the chart is that of this version of the package', () => {
  const { version } = JSON.parse(readFileSync(path.join(PROJECT, 'package.json'), 'utf8')) as { version: string };
  const chart = parse(readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8')) as { appVersion: string };
  assert.equal(chart.appVersion, version);
  for (const { image } of ownContainers(render(['minimal.yaml']))) assert.equal(image, `earshot:${version}`);
});

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** Paths of all values that the schema spells out. */
function namesOf({ properties = {} }: Schema, at = ''): string[] {
  return Object.entries(properties)
    .flatMap(([name, inner]) => [`${at}${name}`, ...namesOf(inner, `${at}${name}.`)])
    .filter((name) => !OPTIONAL.some((suffix) => name.endsWith(suffix)))
    .sort();
}

/** Values that Kubernetes defines and that need no default here. */
const OPTIONAL = ['.minAvailable', '.claims'];

function namesIn(value: object, { properties = {} }: Schema, at = ''): string[] {
  return Object.entries(value)
    .flatMap(([name, inner]: [string, unknown]) => {
      const isOpen = properties[name]?.properties === undefined;
      return [`${at}${name}`, ...(isOpen || typeof inner !== 'object' || inner === null ? [] : namesIn(inner, properties[name], `${at}${name}.`))];
    })
    .sort();
}

/** Parses the arguments as the container will, without starting anything. */
function assertUnderstood(container: Container): void {
  const program = buildProgram(roles).configureOutput({ writeErr: () => undefined });
  const [name, ...args] = commandLine(container, VARIABLES);
  const command = program.commands.find((each) => each.name() === name);
  assert.ok(command, `there is a command ${name}`);
  for (const variable of container.env ?? []) {
    if (!variable.name.startsWith('EARSHOT_') || SECRETS.includes(variable.name)) continue;
    const option = command.options.find(({ envVar }) => envVar === variable.name);
    assert.ok(option, `${name} reads ${variable.name}`);
    if (variable.value !== undefined) args.push(`${option.long}=${variable.value}`);
  }
  silence(program, command);
  try {
    program.parse([name, ...args], { from: 'user' });
  } catch (error) {
    assert.fail(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function silence(program: Command, command: Command): void {
  for (const each of [program, command]) each.configureOutput({ outputError: () => undefined });
  command.action(() => undefined);
}

function assertSelects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>>, name: string): void {
  for (const [key, value] of Object.entries(selector)) assert.equal(labels[key], value, `${name}: ${key}`);
}

function selects(selector: Readonly<Record<string, string>>, { spec }: Workload): boolean {
  return Object.entries(selector).every(([key, value]) => spec.template.metadata.labels[key] === value);
}

function componentOf({ spec }: Workload): string {
  return spec.template.metadata.labels['app.kubernetes.io/component'];
}

/** What a Service, a PodDisruptionBudget or a NetworkPolicy selects; null for other kinds. */
function selectorOf({ kind, ...rest }: Manifest): Readonly<Record<string, string>> | null {
  const spec = rest['spec'] as { selector: Record<string, string> & { matchLabels: Record<string, string> }; podSelector: { matchLabels: Record<string, string> } };
  if (kind === 'Service') return spec.selector;
  if (kind === 'PodDisruptionBudget') return spec.selector.matchLabels;
  return kind === 'NetworkPolicy' ? spec.podSelector.matchLabels : null;
}

function isTransceiverPolicy({ kind, metadata }: Manifest): boolean {
  return kind === 'NetworkPolicy' && metadata.name.endsWith('-transceiver');
}
