{{/* Says yes where a stage is scaled by KEDA and by lag. */}}
{{- define "frameline.scalesByLag" -}}
{{- range include "frameline.stages" . | fromYaml -}}
{{- if and (eq .autoscaling.mode "keda") (eq .autoscaling.by "lag") -}}
yes
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Quickly up, slowly down: a replica that comes or goes moves partitions. */}}
{{- define "frameline.behavior" -}}
scaleUp:
  policies:
    - { type: Pods, value: {{ int .scaleUp.pods }}, periodSeconds: {{ int .scaleUp.everySeconds }} }
scaleDown:
  stabilizationWindowSeconds: {{ int .scaleDown.quietSeconds }}
  policies:
    - { type: Pods, value: {{ int .scaleDown.pods }}, periodSeconds: {{ int .scaleDown.everySeconds }} }
{{- end -}}

{{/* Whether KEDA needs more than an address to reach the brokers. */}}
{{- define "frameline.kafkaIsSecured" -}}
{{- if ne (default "plaintext" .Values.config.kafka.security_protocol) "plaintext" -}}
yes
{{- end -}}
{{- end -}}

{{/* How one logs in to the brokers. */}}
{{- define "frameline.mechanism" -}}
{{- dig "sasl" "mechanism" "none" .Values.config.kafka -}}
{{- end -}}

{{/*
By lag. All records count, also those of a partition that stands still: `excludePersistentLag` takes a slow record for
a broken one. Never more replicas than partitions.
*/}}
{{- define "frameline.trigger.lag" -}}
{{- $values := .root.Values -}}
{{- $protocol := default "plaintext" $values.config.kafka.security_protocol -}}
type: kafka
metadata:
  bootstrapServers: {{ $values.config.kafka.bootstrap_servers | quote }}
  consumerGroup: {{ .name }}
  topic: {{ .stage.topic }}
  lagThreshold: {{ include "frameline.lagThreshold" .stage.autoscaling | quote }}
  activationLagThreshold: "0"
  offsetResetPolicy: earliest
  allowIdleConsumers: "false"
  excludePersistentLag: "false"
  version: {{ $values.autoscaling.kafkaVersion | quote }}
  {{- if hasPrefix "sasl" $protocol }}
  sasl: {{ get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512") (include "frameline.mechanism" .root) }}
  {{- end }}
  {{- if hasSuffix "ssl" $protocol }}
  tls: enable
  {{- end }}
{{- if include "frameline.kafkaIsSecured" .root }}
authenticationRef: { name: {{ include "frameline.fullname" .root }}-kafka }
{{- end }}
{{- end -}}

{{/*
By age: times as many replicas as the oldest record in hand is older than it may be. Where nobody tells an age, the
replicas stay as they are.
*/}}
{{- define "frameline.trigger.age" -}}
{{- $age := printf "frameline_oldest_unfinished_seconds{namespace=%q,stage=%q}" .root.Release.Namespace .name -}}
type: prometheus
metadata:
  serverAddress: {{ .root.Values.autoscaling.prometheusAddress | quote }}
  query: {{ printf "max(%s) * count(%s)" $age $age | quote }}
  threshold: {{ int .stage.autoscaling.oldestSeconds | quote }}
  ignoreNullValues: "false"
{{- end -}}
