{{/* The stages that run, each merged over stageDefaults, as YAML: `include … | fromYaml`. */}}
{{- define "frameline.stages" -}}
{{- $stages := dict -}}
{{- range $name, $own := .Values.stages -}}
{{- $stage := mergeOverwrite (deepCopy $.Values.stageDefaults) (deepCopy (default dict $own)) -}}
{{- /* A variable is one thing: with the `value` of one and the `valueFrom` of the other it would be none. */ -}}
{{- range $variable, $from := dig "env" dict (default dict $own) -}}
{{- $_ := set $stage.env $variable $from -}}
{{- end -}}
{{- if $stage.enabled -}}
{{- $_ := set $stages $name $stage -}}
{{- end -}}
{{- end -}}
{{- toYaml $stages -}}
{{- end -}}

{{/* How many partitions the topic of this name has; nothing where there is no such topic. */}}
{{- define "frameline.partitions" -}}
{{- $catalogue := .root.Files.Get "files/topics.yaml" | fromYaml -}}
{{- with get $catalogue.topics .topic -}}
{{- default $catalogue.defaults.partitions .partitions | int -}}
{{- end -}}
{{- end -}}

{{/* A duration of the configuration, such as 5s or 10m, in milliseconds. */}}
{{- define "frameline.milliseconds" -}}
{{- $ms := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get $ms (regexFind "[a-z]+$" .)) -}}
{{- end -}}

{{/* The same in whole seconds, rounded up. */}}
{{- define "frameline.seconds" -}}
{{- div (include "frameline.milliseconds" . | int64 | add 999) 1000 -}}
{{- end -}}

{{/* A quantity of memory as Kubernetes writes it, such as 1.5Gi or 4e9, in whole bytes; 0 where it is none. */}}
{{- define "frameline.bytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $decimal := dict "" 1.0 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $binary := dict "Ki" 10 "Mi" 20 "Gi" 30 "Ti" 40 "Pi" 50 "Ei" 60 -}}
{{- $number := trimSuffix $unit $text | float64 -}}
{{- if hasKey $binary $unit -}}
{{- range until (get $binary $unit) }}{{ $number = mulf $number 2 }}{{ end -}}
{{- $number | int64 -}}
{{- else -}}
{{- mulf $number (get $decimal $unit | default 0) | int64 -}}
{{- end -}}
{{- end -}}

{{/* service.listen, which is the product's own where nothing is said. */}}
{{- define "frameline.listen" -}}
{{- dig "service" "listen" "127.0.0.1:8470" .Values.config -}}
{{- end -}}

{{/* Its port. */}}
{{- define "frameline.port" -}}
{{- include "frameline.listen" . | regexFind "[0-9]+$" -}}
{{- end -}}

{{/* How many records one replica is given. */}}
{{- define "frameline.lagThreshold" -}}
{{- mul (int64 .recordsPerSecond) (int64 .drainSeconds) -}}
{{- end -}}
