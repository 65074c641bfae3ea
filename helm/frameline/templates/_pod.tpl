{{/*
The pod of one part. `.root`; `.name` of the part; `.stage`, merged; `.command`, what frameline is told; `.configMap`
that has its file; `.serves`, whether it answers to probes; `.serviceAccount`.
*/}}
{{- define "frameline.pod" -}}
{{- $values := .root.Values -}}
serviceAccountName: {{ .serviceAccount }}
# Who puts stages back: the pod of jobs, and that of the canary for jobs itself.
automountServiceAccountToken: {{ and $values.rewind.enabled (has .name (list "jobs" "canary")) }}
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml $values.podSecurityContext | nindent 2 }}
{{- with .stage.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .stage.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .stage.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .stage.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: frameline
    image: {{ include "frameline.image" .root | quote }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: {{- concat .command (list "--log" "json") | toYaml | nindent 6 }}
    securityContext: {{- toYaml $values.containerSecurityContext | nindent 6 }}
    env:
      # So that commands in the pod need neither: kubectl exec deploy/… -- frameline lag
      - { name: FRAMELINE_CONFIG, value: /etc/frameline/frameline.toml }
      - { name: FRAMELINE_DATA, value: /var/lib/frameline }
      {{- range $name, $from := .stage.env }}
      - {{ merge (dict "name" $name) $from | toYaml | nindent 8 | trim }}
      {{- end }}
    resources: {{- toYaml .stage.resources | nindent 6 }}
    {{- if .serves }}
    {{- include "frameline.probes" .root | nindent 4 }}
    {{- end }}
    volumeMounts:
      - { name: configuration, mountPath: /etc/frameline, readOnly: true }
      {{- if $values.files }}
      - { name: files, mountPath: /run/secrets/frameline, readOnly: true }
      {{- end }}
      - { name: data, mountPath: /var/lib/frameline }
volumes:
  - name: configuration
    configMap: { name: {{ .configMap }} }
  {{- with $values.files }}
  - name: files
    projected:
      defaultMode: 288 # 0440
      sources:
        {{- range $key, $from := . }}
        {{- if $from.existingSecret }}
        - secret: { name: {{ $from.existingSecret }}, items: [{ key: {{ $from.key | quote }}, path: {{ $key }} }] }
        {{- else }}
        - configMap: { name: {{ $from.existingConfigMap }}, items: [{ key: {{ $from.key | quote }}, path: {{ $key }} }] }
        {{- end }}
        {{- end }}
  {{- end }}
  # What is durable is elsewhere: the log, the bucket, PostgreSQL and Qdrant.
  - name: data
    emptyDir: { sizeLimit: {{ .stage.dataSizeLimit }} }
{{- end -}}

{{/*
Alive is who works off the log, whatever has become of the broker; ready is who is in its group. Startup waits for
models and schemas, and for whatever the stage meets before it answers.
*/}}
{{- define "frameline.probes" -}}
ports:
  - { name: http, containerPort: {{ include "frameline.port" . }}, protocol: TCP }
startupProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 2
  failureThreshold: 150
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
{{- end -}}
