{{- define "earshot.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (.Values.nameOverride | default .Chart.Name) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (.Values.nameOverride | default .Chart.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a role: never changes between versions. (root, role) */}}
{{- define "earshot.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{/* (root, role) */}}
{{- define "earshot.labels" -}}
{{ include "earshot.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (root, role) */}}
{{- define "earshot.metadata" -}}
name: {{ include "earshot.fullname" .root }}-{{ .role }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "earshot.labels" . | nindent 2 }}
{{- end -}}

{{- define "earshot.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "earshot.secretName" -}}
{{- .Values.secret.existingSecret | default (printf "%s-secret" (include "earshot.fullname" .)) -}}
{{- end -}}

{{- define "earshot.apiKeySecretName" -}}
{{- .Values.apiKey.existingSecret | default (printf "%s-api-key" (include "earshot.fullname" .)) -}}
{{- end -}}

{{- define "earshot.clustersConfigMap" -}}
{{- .Values.clusters.existingConfigMap | default (printf "%s-clusters" (include "earshot.fullname" .)) -}}
{{- end -}}

{{- define "earshot.ingress" -}}
{{- if not .Values.ingress -}}
{{- fail "ingress is empty: give the public UDP address of the relays, for example --set 'ingress={203.0.113.7:3478}'." -}}
{{- end -}}
{{- join "," .Values.ingress -}}
{{- end -}}

{{/* Pod settings that all roles share. (root, role, values) */}}
{{- define "earshot.podSpec" -}}
serviceAccountName: {{ include "earshot.fullname" .root }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .root.Values.runAsUser }}
  runAsGroup: {{ .root.Values.runAsUser }}
  fsGroup: {{ .root.Values.runAsUser }}
  seccompProfile:
    type: RuntimeDefault
topologySpreadConstraints:
  {{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "earshot.selector" $ | nindent 8 }}
  {{- end }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of a pod. Secrets and clusters that the chart itself writes restart the pods when they change. (root, role, values) */}}
{{- define "earshot.podMetadata" -}}
labels:
  {{- include "earshot.labels" . | nindent 2 }}
annotations:
  earshot/secrets: {{ printf "%s %s %s" .root.Values.secret.value .root.Values.secret.previous .root.Values.apiKey.value | sha256sum | trunc 16 }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Container settings that all roles share. (root, values; http: the port that probes ask, unless it is the one named http) */}}
{{- define "earshot.container" -}}
image: {{ include "earshot.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .values.resources | nindent 2 }}
startupProbe:
  httpGet: { path: /healthz, port: {{ .http | default "http" }} }
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: { path: /readyz, port: {{ .http | default "http" }} }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: { path: /healthz, port: {{ .http | default "http" }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* Environment that all roles share. (root, values) */}}
{{- define "earshot.env" -}}
- name: POD_IP
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: EARSHOT_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ include "earshot.secretName" .root }}
      key: {{ .root.Values.secret.key }}
- name: EARSHOT_SECRET_PREVIOUS
  valueFrom:
    secretKeyRef:
      name: {{ include "earshot.secretName" .root }}
      key: {{ .root.Values.secret.previousKey }}
      optional: true
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where the cache is, if there is one. (root) */}}
{{- define "earshot.redisEnv" -}}
{{- if .Values.redis.existingSecret }}
- name: EARSHOT_REDIS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.existingSecret }}
      key: {{ .Values.redis.key }}
{{- else if .Values.redis.url }}
- name: EARSHOT_REDIS
  value: {{ .Values.redis.url | quote }}
{{- else if .Values.redis.embedded.enabled }}
- name: EARSHOT_REDIS
  value: redis://{{ include "earshot.fullname" . }}-redis:6379
{{- end }}
{{- end -}}

{{/* The entries of a cluster in the clusters file. (list of addresses) */}}
{{- define "earshot.clusterIngress" -}}
{{- range . }}
- address: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Who reads metrics, as peers of a NetworkPolicy. (root) */}}
{{- define "earshot.monitoringPeers" -}}
{{- range .Values.networkPolicy.monitoringNamespaces }}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ . }}
{{- end }}
{{- end -}}
