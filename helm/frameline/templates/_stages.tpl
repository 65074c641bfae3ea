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

{{/* A duration of the configuration, such as 5s or 10m, in whole seconds, rounded up. */}}
{{- define "frameline.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int64 -}}
{{- $ms := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- div (add (mul $number (get $ms (regexFind "[a-z]+$" .))) 999) 1000 -}}
{{- end -}}

{{/* A quantity of memory as Kubernetes writes it, such as 1.5Gi, in bytes. */}}
{{- define "frameline.bytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $bytes := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (trimSuffix $unit $text | float64) (get $bytes $unit) | int64 -}}
{{- end -}}

{{/* The port of service.listen. */}}
{{- define "frameline.port" -}}
{{- regexFind "[0-9]+$" .Values.config.service.listen -}}
{{- end -}}

{{/* How many records one replica is given. */}}
{{- define "frameline.lagThreshold" -}}
{{- mul (int64 .recordsPerSecond) (int64 .drainSeconds) -}}
{{- end -}}
