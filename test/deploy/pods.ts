import type { Manifest } from './helm.ts';

/** What the tests read of a container. */
export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
  /** None where two pods share the host's ports. */
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly protocol: 'TCP' | 'UDP' }[];
  readonly resources: { readonly requests?: Readonly<Record<string, string>>; readonly limits?: Readonly<Record<string, string>> };
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly privileged: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
  readonly volumeMounts?: readonly { readonly name: string }[];
  readonly [probe: string]: unknown;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string }[];
  readonly securityContext: { readonly runAsNonRoot: boolean; readonly runAsUser: number; readonly seccompProfile: { readonly type: string } };
  readonly terminationGracePeriodSeconds?: number;
  readonly automountServiceAccountToken: boolean;
}

/** A Deployment or DaemonSet. */
export interface Workload extends Manifest {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: { readonly metadata: { readonly labels: Readonly<Record<string, string>> }; readonly spec: PodSpec };
  };
}

export function workloads(manifests: readonly Manifest[]): Workload[] {
  return manifests.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet') as unknown as Workload[];
}

export function containers(manifests: readonly Manifest[]): Container[] {
  return workloads(manifests).flatMap(({ spec }) => [...spec.template.spec.containers, ...(spec.template.spec.initContainers ?? [])]);
}

/** The containers that run `earshot`. */
export function ownContainers(manifests: readonly Manifest[]): Container[] {
  return containers(manifests).filter(({ name }) => name !== 'redis');
}

/** What a container runs: its arguments with `$(NAME)` replaced, as the kubelet does it. */
export function commandLine({ args }: Container, variables: Readonly<Record<string, string>>): string[] {
  return args.map((arg) => arg.replace(/\$\((\w+)\)/g, (all, name: string) => variables[name] ?? all));
}

/** The number of a port that a probe or a Service names, which may be a number already. */
export function portNumber({ ports = [] }: Container, port: string | number): number | undefined {
  return typeof port === 'number' ? port : ports.find(({ name }) => name === port)?.containerPort;
}

/** The port in the value of a flag as `--http=0.0.0.0:9090`. */
export function portOfFlag({ args }: Container, flag: string): number {
  return Number(args.find((arg) => arg.startsWith(`${flag}=`))?.split(':').at(-1));
}
