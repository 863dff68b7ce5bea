{{- define "heat-dispatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "heat-dispatch.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "heat-dispatch.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "heat-dispatch.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "heat-dispatch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: heat-dispatch
{{- end }}

{{- define "heat-dispatch.operatorSelector" -}}
app.kubernetes.io/name: heat-dispatch-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "heat-dispatch.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end }}

{{- /* Whoever is not the agent needs nothing of its node. */ -}}
{{- define "heat-dispatch.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "heat-dispatch.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "heat-dispatch.tokenSecret" -}}
{{- default "heat-dispatch-agent" .Values.agent.token.existingSecret -}}
{{- end }}

{{- define "heat-dispatch.ledgerArg" -}}
{{- if .Values.ledger.postgres.secretName -}}
--ledger=$(LEDGER_URL)
{{- else -}}
--ledger=sqlite:////var/lib/heat-dispatch/ledger.db
{{- end -}}
{{- end }}

{{- define "heat-dispatch.ledgerEnv" -}}
{{- if .Values.ledger.postgres.secretName }}
- name: LEDGER_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.ledger.postgres.secretName }}
      key: {{ .Values.ledger.postgres.key }}
{{- end }}
{{- end }}

{{- /* "yes" where a switch is on, or is auto and the cluster knows the kind: (list switch "group/version/Kind" .). */ -}}
{{- define "heat-dispatch.on" -}}
{{- $switch := index . 0 -}}
{{- if eq (toString $switch) "auto" -}}
{{- if (index . 2).Capabilities.APIVersions.Has (index . 1) }}yes{{ end -}}
{{- else if $switch }}yes{{ end -}}
{{- end }}

{{- /* What `heat-dispatch release` needs. */ -}}
{{- define "heat-dispatch.releaseRules" -}}
# Holds are found on Jobs, and ended there.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, patch]
# Those that Kueue holds for us, where it is installed.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list, patch]
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads/status]
  verbs: [patch]
- apiGroups: [kueue.x-k8s.io]
  resources: [admissionchecks]
  verbs: [list]
{{- end }}

{{/* Of what a hook needs beside its pod: there before it, and gone with it. The argument is the hook's event. */}}
{{- define "heat-dispatch.hookNeeds" -}}
helm.sh/hook: {{ . }}
helm.sh/hook-weight: "-1"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* A pod that runs `heat-dispatch release` once. root: the chart's; account: end of its ServiceAccount's name; option; args. */}}
{{- define "heat-dispatch.releasePod" -}}
restartPolicy: Never
serviceAccountName: {{ include "heat-dispatch.fullname" .root }}-{{ .account }}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "heat-dispatch.podSecurity" .root | nindent 2 }}
containers:
  - name: release
    image: {{ include "heat-dispatch.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: [heat-dispatch, release, {{ .option }}]
    {{- with .args }}
    args:
      {{- range . }}
      - {{ . }}
      {{- end }}
    {{- end }}
    resources:
      requests:
        cpu: 50m
        memory: 128Mi
      limits:
        memory: 512Mi
    securityContext:
      {{- include "heat-dispatch.containerSecurity" .root | nindent 6 }}
{{- end }}
