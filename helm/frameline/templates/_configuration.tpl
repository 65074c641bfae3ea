{{/* The configuration of one part as TOML, a dotted key a line, as `frameline config show` writes them. */}}
{{- define "frameline.configuration" -}}
{{- $config := deepCopy .root.Values.config -}}
{{- /* What only these read; what is in no list is for everybody. */ -}}
{{- $takers := list "identify" "jobs" "canary" -}}
{{- $readers := dict "identify" $takers "discover" $takers "render" (list "render") "validate" (list "validate") "embed" (list "embed") -}}
{{- range $section, $names := $readers -}}
{{- if not (has $.name $names) -}}
{{- $_ := unset $config $section -}}
{{- end -}}
{{- end -}}
{{- /* Of what is another's, whoever takes files in reads the limit alone, and holds it against its own. */ -}}
{{- $limits := eq .name "identify" | ternary (dict "discover" "largest_file_bytes") (dict "identify" "file_limit_bytes") -}}
{{- range $section, $limit := $limits -}}
{{- with get $config $section -}}
{{- $_ := set $config $section (pick . $limit) -}}
{{- end -}}
{{- end -}}
{{- if and (ne .name "jobs") $config.jobs -}}
{{- $_ := unset $config.jobs "retention" -}}
{{- end -}}
{{- with dig "limits" "memory" "" .stage.resources -}}
{{- $_ := set $config "service" (merge (dict) (default dict $config.service) (dict "memory_limit_bytes" (include "frameline.bytes" . | int64))) -}}
{{- end -}}
{{- if and .stage.topic .stage.settings -}}
{{- $_ := set $config "stages" (dict .name .stage.settings) -}}
{{- end -}}
{{- include "frameline.keys" (dict "above" "" "values" $config) -}}
{{- range $key, $_ := .root.Values.files -}}
{{- printf "%s = %s\n" $key (printf "/run/secrets/frameline/%s" $key | toJson) -}}
{{- end -}}
{{- end -}}

{{- define "frameline.keys" -}}
{{- range $key, $value := .values -}}
{{- $path := regexMatch "^[A-Za-z0-9_-]+$" $key | ternary $key (toJson $key) | printf "%s%s" $.above -}}
{{- if kindIs "map" $value -}}
{{- include "frameline.keys" (dict "above" (printf "%s." $path) "values" $value) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- printf "%s = %s\n" $path (include "frameline.value" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Helm reads every number as a float, and TOML tells 8 from 8.0. A text of JSON is one of TOML. */}}
{{- define "frameline.value" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{- int64 . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}
