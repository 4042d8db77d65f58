{{- define "gateway.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "gateway.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gateway.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The Secret that holds what the gateway must keep to itself; empty where there is none. */}}
{{- define "gateway.secret" -}}
{{- if .Values.existingSecret -}}
{{ .Values.existingSecret }}
{{- else if .Values.secret.create -}}
{{ include "gateway.name" . }}
{{- end -}}
{{- end }}

{{/* The Secret whose key `ledger-url` is the database's URL. */}}
{{- define "gateway.ledgerSecret" -}}
{{- if .Values.ledger.url -}}
{{ include "gateway.name" . }}-ledger
{{- else -}}
{{ .Values.existingSecret }}
{{- end -}}
{{- end }}

{{- define "gateway.policies" -}}
{{- if .Values.existingPoliciesConfigMap -}}
{{ .Values.existingPoliciesConfigMap }}
{{- else if .Values.policies -}}
{{ include "gateway.name" . }}-policies
{{- end -}}
{{- end }}

{{- define "gateway.port" -}}
{{- $url := urlParse .Values.upstream.url -}}
{{- $given := regexFind ":[0-9]+$" $url.host -}}
{{- if $given -}}{{ trimPrefix ":" $given }}{{- else if eq $url.scheme "http" -}}80{{- else -}}443{{- end -}}
{{- end }}

{{/* A value as text. Helm reads every number as a float and would write 33554432 as 3.3554432e+07. */}}
{{- define "gateway.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end }}

{{/* A duration as the gateway reads it (`320 s`, `5 min`, `20`), in whole seconds. */}}
{{- define "gateway.seconds" -}}
{{- $text := include "gateway.text" . -}}
{{- if not (regexMatch "^[0-9]+ ?(s|min|h)?$" $text) -}}
{{- fail (printf "settings: a drain lasts whole seconds, minutes or hours, such as `320 s`, not %q" $text) -}}
{{- end -}}
{{- $factor := 1 -}}
{{- if hasSuffix "min" $text }}{{ $factor = 60 }}{{ else if hasSuffix "h" $text }}{{ $factor = 3600 }}{{ end -}}
{{- mul $factor (int64 (regexFind "^[0-9]+" $text)) -}}
{{- end }}

{{/* How long before a pod is killed: the pause before SIGTERM, the drain, and five seconds to close. */}}
{{- define "gateway.grace" -}}
{{- $settings := .Values.settings -}}
{{- $delay := ternary $settings.GATEWAY_DRAIN_DELAY "5" (hasKey $settings "GATEWAY_DRAIN_DELAY") -}}
{{- $timeout := ternary $settings.GATEWAY_DRAIN_TIMEOUT "320" (hasKey $settings "GATEWAY_DRAIN_TIMEOUT") -}}
{{- $delay = include "gateway.seconds" $delay -}}
{{- $timeout = include "gateway.seconds" $timeout -}}
{{- add 5 (int64 $delay) (int64 $timeout) 5 -}}
{{- end }}

{{- define "gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* What cannot be, each with what to do about it. */}}
{{- define "gateway.refuse" -}}
{{- with .Values }}
{{- if eq .ledger.type "sqlite" }}
{{- if gt (int .replicaCount) 1 }}
{{- fail (printf "replicaCount is %d, but a SQLite ledger has room for one gateway: set ledger.type to postgresql" (int .replicaCount)) }}
{{- end }}
{{- if .autoscaling.enabled }}
{{- fail "autoscaling.enabled needs a ledger that several gateways share: set ledger.type to postgresql" }}
{{- end }}
{{- if .ledger.url }}
{{- fail "ledger.url is for PostgreSQL: set ledger.type to postgresql, or leave it empty" }}
{{- end }}
{{- else if not (or .ledger.url .existingSecret) }}
{{- fail "ledger.type is postgresql: set ledger.url, or existingSecret to a Secret with the key ledger-url" }}
{{- end }}
{{- if and .simulate (or (gt (int .replicaCount) 1) .autoscaling.enabled) }}
{{- fail "simulate gives each gateway a simulator of its own, which knows no job of another: set replicaCount to 1" }}
{{- end }}
{{- if and .existingSecret .secret.create }}
{{- fail "existingSecret and secret.create: set one of them" }}
{{- end }}
{{- if and .secret.create (not .secret.apiKey) (not .simulate) }}
{{- fail "secret.create needs secret.apiKey, the real GMI API key" }}
{{- end }}
{{- if and .policies .existingPoliciesConfigMap }}
{{- fail "policies and existingPoliciesConfigMap: set one of them" }}
{{- end }}
{{- if and .ingress.enabled (not .ingress.host) }}
{{- fail "ingress.enabled needs ingress.host, the name clients use" }}
{{- end }}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled needs httpRoute.parentRefs, the Gateways that serve it" }}
{{- end }}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
{{- end }}
