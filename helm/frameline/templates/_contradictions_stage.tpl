{{/* What one stage says; `.root`, `.name`, `.stage`, merged. */}}
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
{{- include "frameline.contradictions.scaling" . }}
{{- end }}
{{- if and (eq .name "canary") (gt $most 1) }}
- stages.canary.{{ $key }} is {{ $most }}, and each canary takes the place of the one before: set 1
{{- end }}
{{- include "frameline.contradictions.memory" . }}
{{- $grace := int .stage.terminationGracePeriodSeconds }}
{{- $deadline := dig "log" "drain_deadline" "5s" .root.Values.config }}
{{- $needed := include "frameline.seconds" $deadline | int | add 30 | int }}
{{- if lt $grace $needed }}
- {{ $at }}.terminationGracePeriodSeconds is {{ $grace }} and config.log.drain_deadline is {{ $deadline }}: with 30 s for the last commit and for leaving the group it must be {{ $needed }} or more
{{- end }}
{{- end -}}

{{- define "frameline.contradictions.scaling" -}}
{{- $at := printf "stages.%s" .name }}
{{- $scaling := .stage.autoscaling }}
{{- $mode := $scaling.mode }}
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
{{- $quiet := int .root.Values.autoscaling.scaleDown.quietSeconds }}
{{- if and (eq $scaling.by "lag") (gt (int $scaling.drainSeconds) $quiet) }}
- {{ $at }}.autoscaling.drainSeconds is {{ $scaling.drainSeconds }} and must not exceed autoscaling.scaleDown.quietSeconds, which is {{ $quiet }}: replicas would go before what they came for is done; lower the one, or raise the other, to 3600 at most
{{- end }}
{{- end -}}

{{/*
What a stage may hold at the same time: what it has taken in, what it works on, and what its child processes use. As the
product sums it up, which would refuse it when the pod is there.
*/}}
{{- define "frameline.contradictions.memory" -}}
{{- $at := printf "stages.%s" .name }}
{{- with dig "limits" "memory" "" .stage.resources }}
{{- $limit := include "frameline.bytes" . | int64 }}
{{- $settings := merge (dict) $.stage.settings (dict "in_flight_bytes" 67108864 "batch_bytes" 4194304 "concurrency" (has $.name (list "index" "jobs") | ternary 1 2)) }}
{{- $section := has $.name (list "identify" "render") | ternary (get $.root.Values.config $.name) dict | default dict }}
{{- $child := dig "worker_memory_bytes" 1610612736 $section | int64 }}
{{- $workers := dig "workers" 0 $section | int64 }}
{{- $need := add (int64 $settings.in_flight_bytes) (mul (int64 $settings.batch_bytes) (int64 $settings.concurrency)) (mul $workers $child) }}
{{- if not $limit }}
- {{ $at }}.resources.limits.memory is {{ . }}, which is no memory: write it such as 2Gi
{{- else if and $.stage.topic (gt $need $limit) }}
- {{ $at }} may hold {{ $need }} bytes{{ if $workers }}, with {{ $workers }} config.{{ $.name }}.workers of {{ $child }} bytes (worker_memory_bytes){{ end }}, and its resources.limits.memory is {{ include "frameline.value" . | trimAll "\"" }}: raise the limit, or lower {{ if $workers }}these, or {{ end }}in_flight_bytes, batch_bytes and concurrency of its settings
{{- end }}
{{- end }}
{{- end -}}

{{/*
A record that succeeds at its last attempt in every stage is still to be in time. Each pod knows of its own stage alone,
so nobody else adds them up.
*/}}
{{- define "frameline.contradictions.retries" -}}
{{- $stages := include "frameline.stages" . | fromYaml }}
{{- $sum := 0 }}
{{- $longest := dict "wait" -1 }}
{{- range $name := list "identify" "render" "validate" "embed" "index" }}
{{- with get $stages $name }}
{{- $attempts := dig "retry_attempts" 5 .settings | int64 }}
{{- $wait := include "frameline.waits" (dict "attempts" $attempts "settings" .settings) | int64 }}
{{- $sum = add $sum $wait }}
{{- if gt $wait (int64 $longest.wait) }}
{{- $longest = dict "wait" $wait "name" $name "attempts" $attempts }}
{{- end }}
{{- end }}
{{- end }}
{{- $promised := dig "service" "searchable_within" "30m" .Values.config }}
{{- if ge $sum (include "frameline.milliseconds" $promised | int64) }}
- the waits between attempts are {{ div $sum 1000 }} s in all stages up to index, {{ div $longest.wait 1000 }} s of them by stages.{{ $longest.name }}.settings.retry_attempts, which is {{ $longest.attempts }}, and must be shorter than config.service.searchable_within, which is {{ $promised }}
{{- end }}
{{- end -}}

{{/* The longest that a record waits in a stage, in milliseconds: each wait is twice the one before, up to the cap. */}}
{{- define "frameline.waits" -}}
{{- $cap := dig "retry_cap" "30s" .settings | include "frameline.milliseconds" | int64 -}}
{{- $wait := dig "retry_base" "100ms" .settings | include "frameline.milliseconds" | int64 | min $cap -}}
{{- $failures := sub .attempts 1 | max 0 -}}
{{- $sum := 0 -}}
{{- /* By then it has come to the cap, or is doubled no more. */ -}}
{{- $doubled := min $failures 32 -}}
{{- range $failure := until (int $doubled) -}}
{{- if $failure -}}{{- $wait = min (mul $wait 2) $cap -}}{{- end -}}
{{- $sum = add $sum $wait -}}
{{- end -}}
{{- sub $failures $doubled | mul $wait | add $sum -}}
{{- end -}}
