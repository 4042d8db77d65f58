{{/* A gateway's pod, the same whoever keeps it. */}}
{{- define "gateway.pod" -}}
metadata:
  labels:
    {{- include "gateway.labels" . | nindent 4 }}
    app.kubernetes.io/component: gateway
  annotations:
    {{- if .Values.secret.create }}
    checksum/secret: {{ toJson .Values.secret | sha256sum }}
    {{- end }}
    {{- if .Values.ledger.url }}
    checksum/ledger: {{ .Values.ledger.url | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: gateway
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "gateway.name" . }}
  automountServiceAccountToken: false
  # A Service named `gateway` would set GATEWAY_PORT=tcp://…, which is no port.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "gateway.grace" . }}
  securityContext:
    {{- include "gateway.podSecurity" . | nindent 4 }}
  containers:
    - name: gateway
      image: {{ include "gateway.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        {{- include "gateway.environment" . | nindent 8 }}
      ports:
        - name: public
          containerPort: 8080
        - name: admin
          containerPort: 9090
      startupProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      lifecycle:
        # It goes on as usual until every proxy has heard that it will end; only then it says `Connection: close`.
        preStop:
          exec:
            command: [python3, -c, "import time; time.sleep(5)"]
      securityContext:
        {{- include "gateway.containerSecurity" . | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: ledger, mountPath: /var/lib/gmi-gateway}
        {{- if include "gateway.policies" . }}
        - {name: policies, mountPath: /etc/gmi-gateway/policies, readOnly: true}
        {{- end }}
        {{- if include "gateway.secret" . }}
        - {name: secret, mountPath: /run/secrets/gmi-gateway, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if not (include "gateway.keepsVolume" .) }}
    - name: ledger
      emptyDir: {}
    {{- end }}
    {{- with include "gateway.policies" . }}
    - name: policies
      configMap: {name: {{ . }}}
    {{- end }}
    {{- with include "gateway.secret" . }}
    - name: secret
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "gateway.selector" $ | nindent 10 }}
    {{- end }}
    {{- end }}
{{- end }}

{{/* Whether the ledger lies on a volume of its own. */}}
{{- define "gateway.keepsVolume" -}}
{{- if and (eq .Values.ledger.type "sqlite") .Values.ledger.persistence.enabled }}yes{{ end -}}
{{- end }}

{{- define "gateway.environment" -}}
- {name: GATEWAY_UPSTREAM_URL, value: {{ .Values.upstream.url | quote }}}
{{- if .Values.simulate }}
- {name: GATEWAY_SIMULATE, value: "on"}
{{- end }}
{{- with .Values.publicUrl }}
- {name: GATEWAY_PUBLIC_URL, value: {{ . | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ include "gateway.text" $value | quote }}}
{{- end }}
{{- if eq .Values.ledger.type "postgresql" }}
- name: GATEWAY_LEDGER
  valueFrom:
    secretKeyRef: {name: {{ include "gateway.ledgerSecret" . }}, key: ledger-url}
{{- end }}
{{- with include "gateway.secret" . }}
- {name: GMI_API_KEY_FILE, value: /run/secrets/gmi-gateway/api-key}
- name: GMI_ORG_ID
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: org-id, optional: true}
- name: GATEWAY_ADMIN_TOKEN
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: admin-token, optional: true}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
