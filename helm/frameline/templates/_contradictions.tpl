{{/* What the values say that cannot hold, a line each, with both sides and a way out. */}}
{{- define "frameline.contradictions" -}}
{{- include "frameline.contradictions.config" . }}
{{- include "frameline.contradictions.secrets" . }}
{{- include "frameline.contradictions.files" . }}
{{- include "frameline.contradictions.retries" . }}
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
{{- $listen := include "frameline.listen" . }}
{{- if or (regexMatch "^(127\\.|\\[::1\\]|\\[::ffff:127\\.)" $listen) (regexMatch ":0+$" $listen) }}
- config.service.listen is {{ $listen }}, where no probe and no scrape of the pod arrives: set 0.0.0.0 and a port, such as 0.0.0.0:8470
{{- end }}
{{- $protocol := dig "kafka" "security_protocol" "plaintext" $config }}
{{- if and (hasPrefix "sasl" $protocol) (eq (include "frameline.mechanism" .) "none") }}
- config.kafka.security_protocol is {{ $protocol }} and config.kafka.sasl.mechanism is none: set the one that the brokers ask for, such as SCRAM-SHA-512
{{- end }}
{{- if eq (dig "kafka" "identity" "dynamic" $config) "static" }}
- config.kafka.identity is static, and each pod of a Deployment has a new name: the partitions of one that is gone would wait for it; leave it at dynamic
{{- end }}
{{- end -}}

{{/* A ConfigMap is read by whoever may look at the release. No value is repeated. */}}
{{- define "frameline.contradictions.secrets" -}}
{{- $config := .Values.config }}
{{- $urls := dict "blobs.url" "blobs.secret_access_key_file" "blobs.endpoint" "blobs.secret_access_key_file" "jobs.url" "jobs.password_file" "vectors.url" "vectors.api_key_file" "schemas.registry" "schemas.password_file" "telemetry.otlp_endpoint" "telemetry.otlp_headers_file" }}
{{- range $key, $file := $urls }}
{{- $parts := splitList "." $key }}
{{- if dig (first $parts) (last $parts) "" $config | regexMatch "://[^/?#]*:[^/?#]*@|[?&][a-z_]*(password|secret|token|key)=" }}
- config.{{ $key }} has a password in it, which would lie in ConfigMaps: leave it out, and say in files where {{ $file }} comes from
{{- end }}
{{- end }}
{{- range $property, $_ := dig "kafka" "properties" dict $config }}
{{- if regexMatch "password|secret|jaas|key\\.pem|private\\.key|oauthbearer\\.config" $property }}
- config.kafka.properties has {{ $property }}, which would lie in ConfigMaps: where files has no key for it, set all of the properties by stageDefaults.env, FRAMELINE__KAFKA__PROPERTIES with a valueFrom of a Secret
{{- end }}
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
{{- $mechanism := include "frameline.mechanism" . }}
{{- if eq $mechanism "OAUTHBEARER" }}
- config.kafka.sasl.mechanism is OAUTHBEARER, with a token that KEDA cannot read: set stageDefaults.autoscaling.by to age, or its mode to hpa
{{- else if and (ne $mechanism "none") (not (hasKey .Values.files "kafka.sasl.password_file")) }}
- config.kafka.sasl.mechanism is {{ $mechanism }} and files has no kafka.sasl.password_file: KEDA needs the Secret with the password, too
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
