{{/* What the values say that cannot hold, a line each, with both sides and a way out. */}}
{{- define "frameline.contradictions" -}}
{{- include "frameline.contradictions.config" . }}
{{- include "frameline.contradictions.files" . }}
{{- include "frameline.contradictions.kafkaLogin" . }}
{{- range $name, $stage := include "frameline.stages" . | fromYaml }}
{{- include "frameline.contradictions.stage" (dict "root" $ "name" $name "stage" $stage) }}
{{- end }}
{{- if and (eq .Values.topics.mode "strimzi") (not .Values.topics.strimzi.cluster) }}
- topics.mode is strimzi and topics.strimzi.cluster is empty: name the Kafka that the topics are of
{{- end }}
{{- end -}}

{{- define "frameline.contradictions.config" -}}
{{- $config := .Values.config }}
{{- if ne (dig "log" "kind" "embedded" $config) "kafka" }}
- config.log.kind is {{ dig "log" "kind" "embedded" $config }} and each stage is a pod of its own, which shares no file with the others: set kafka
{{- end }}
{{- if not (dig "kafka" "bootstrap_servers" "" $config) }}
- config.kafka.bootstrap_servers is empty: name the brokers, host:port, with commas between them
{{- end }}
{{- range $section, $example := dict "blobs" "s3://bucket/prefix" "jobs" "postgres://frameline@db:5432/frameline" "vectors" "http://qdrant:6334" }}
{{- if not (dig $section "url" "" $config) }}
- config.{{ $section }}.url is empty, and a file in the data directory of one pod is not seen by the others: set it, such as {{ $example }}
{{- end }}
{{- end }}
{{- if eq (dig "kafka" "identity" "dynamic" $config) "static" }}
- config.kafka.identity is static, and each pod of a Deployment has a new name: the partitions of one that is gone would wait for it; leave it at dynamic
{{- end }}
{{- end -}}

{{- define "frameline.contradictions.files" -}}
{{- range $key, $from := .Values.files }}
{{- $said := $.Values.config }}
{{- range $part := splitList "." $key }}
{{- if kindIs "map" $said }}{{ $said = get $said $part }}{{ end }}
{{- end }}
{{- if $said }}
- files says where {{ $key }} comes from, and config.{{ $key }} is {{ $said }}: keep one
{{- end }}
{{- if eq (empty $from.existingSecret) (empty $from.existingConfigMap) }}
- files.{{ $key }} must name either an existingSecret or an existingConfigMap
{{- end }}
{{- end }}
{{- end -}}

{{/* KEDA logs in to the brokers by itself, with what it can be given. */}}
{{- define "frameline.contradictions.kafkaLogin" -}}
{{- if include "frameline.scalesByLag" . }}
{{- $kafka := .Values.config.kafka }}
{{- $protocol := default "plaintext" $kafka.security_protocol }}
{{- if hasPrefix "sasl" $protocol }}
{{- $mechanism := dig "sasl" "mechanism" "none" $kafka }}
{{- if eq $mechanism "OAUTHBEARER" }}
- config.kafka.sasl.mechanism is OAUTHBEARER, with a token that KEDA cannot read: set stageDefaults.autoscaling.by to age, or its mode to hpa
{{- else if not (hasKey .Values.files "kafka.sasl.password_file") }}
- config.kafka.sasl.mechanism is {{ $mechanism }} and files has no kafka.sasl.password_file: KEDA needs the Secret with the password, too
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "frameline.contradictions.stage" -}}
{{- $at := printf "stages.%s" .name }}
{{- $scaling := .stage.autoscaling }}
{{- $mode := $scaling.mode }}
{{- $most := eq $mode "none" | ternary .stage.replicas $scaling.maxReplicas | int }}
{{- $key := eq $mode "none" | ternary "replicas" "autoscaling.maxReplicas" }}
{{- if .stage.topic }}
{{- $partitions := include "frameline.partitions" (dict "root" .root "topic" .stage.topic) }}
{{- if not $partitions }}
- {{ $at }}.topic is {{ .stage.topic }}, and there is no such topic in files/topics.yaml
{{- else if gt $most (int $partitions) }}
- {{ $at }}.{{ $key }} is {{ $most }} and the topic {{ .stage.topic }} has {{ $partitions }} partitions: whoever gets none stands idle; set {{ $partitions }} or less
{{- end }}
{{- else if ne $mode "none" }}
- {{ $at }}.autoscaling.mode is {{ $mode }}, and it reads no topic whose lag could scale it: set none
{{- end }}
{{- if ne $mode "none" }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
- {{ $at }}.autoscaling.minReplicas is {{ $scaling.minReplicas }} and must not exceed maxReplicas, which is {{ $scaling.maxReplicas }}
{{- end }}
{{- if and (eq $mode "hpa") (eq $scaling.by "age") }}
- {{ $at }}.autoscaling.by is age and its mode is hpa, which goes by lag: set mode to keda, or by to lag
{{- end }}
{{- if and (eq $mode "keda") (eq $scaling.by "age") (not .root.Values.autoscaling.prometheusAddress) }}
- {{ $at }}.autoscaling.by is age and autoscaling.prometheusAddress is empty: nobody would know the age
{{- end }}
{{- if eq (int $scaling.minReplicas) 0 }}
{{- if eq .name "jobs" }}
- {{ $at }}.autoscaling.minReplicas is 0, and jobs sees to what is old while nothing arrives: set 1 or more
{{- else if or (ne $mode "keda") (ne $scaling.by "lag") }}
- {{ $at }}.autoscaling.minReplicas is 0 with mode {{ $mode }} by {{ $scaling.by }}: only KEDA, by lag, wakes a stage that has no replica; set 1 or more
{{- end }}
{{- end }}
{{- end }}
{{- $grace := int .stage.terminationGracePeriodSeconds }}
{{- $deadline := dig "log" "drain_deadline" "5s" .root.Values.config }}
{{- $needed := include "frameline.seconds" $deadline | int | add 30 | int }}
{{- if lt $grace $needed }}
- {{ $at }}.terminationGracePeriodSeconds is {{ $grace }} and config.log.drain_deadline is {{ $deadline }}: with 30 s for the last commit and for leaving the group it must be {{ $needed }} or more
{{- end }}
{{- end -}}
