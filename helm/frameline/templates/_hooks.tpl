{{/* What is done before the stages of a version start, as YAML: what `frameline` is told, and its weight. */}}
{{- define "frameline.hooks" -}}
{{- $hooks := dict -}}
{{- if eq .Values.topics.mode "job" -}}
{{- $_ := set $hooks "topics" (dict "command" (list "topics" "apply" "--execute") "weight" 0) -}}
{{- end -}}
{{- /* What is registered is on record in the topic `audit`, which has to be there by then. */ -}}
{{- if eq (include "frameline.schemas" .) "before" -}}
{{- $_ := set $hooks "schemas" (dict "command" (list "schemas" "apply" "--execute") "weight" 1) -}}
{{- end -}}
{{- if and (dig "jobs" "url" "" .Values.config) (not (dig "jobs" "migrate" false .Values.config)) -}}
{{- $_ := set $hooks "migrate" (dict "command" (list "migrate" "--execute") "weight" 1) -}}
{{- end -}}
{{- toYaml $hooks -}}
{{- end -}}

{{/*
When schemas are registered, if at all: before the stages, or beside them. Strimzi makes the topics of an install when all
hooks before it are done, and a hook after it would wait for stages that wait for the schemas.
*/}}
{{- define "frameline.schemas" -}}
{{- if dig "schemas" "registry" "" .Values.config -}}
{{- and (eq .Values.topics.mode "strimzi") .Release.IsInstall | ternary "beside" "before" -}}
{{- end -}}
{{- end -}}

{{/*
One of them. `.root`, `.name`, `.stage`, `.command`; `.hook`, its annotations where it is one; `.retries`; and of its pod
`.configMap`, `.serviceAccount`.
*/}}
{{- define "frameline.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "frameline.fullname" .root }}-{{ .name }}
  labels: {{- include "frameline.labels" . | nindent 4 }}
  {{- with .hook }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  backoffLimit: {{ int .retries }}
  activeDeadlineSeconds: {{ int .root.Values.hooks.deadlineSeconds }}
  template:
    metadata:
      labels: {{- include "frameline.podLabels" . | nindent 8 }}
      {{- with .stage.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      {{- include "frameline.pod" (merge (dict "serves" false) .) | nindent 6 }}
{{- end -}}
