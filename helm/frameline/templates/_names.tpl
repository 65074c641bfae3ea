{{/* Names and labels. */}}

{{/* Short enough for the name of a stage behind it. */}}
{{- define "frameline.fullname" -}}
{{- $whole := contains "frameline" .Release.Name | ternary .Release.Name (printf "%s-frameline" .Release.Name) -}}
{{- default $whole .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{/*
What never changes about a part's pods; `.name` is the part's. By this very name `frameline rewind --kubernetes` and
collectors find them.
*/}}
{{- define "frameline.selector" -}}
app.kubernetes.io/name: frameline
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "frameline.labels" -}}
{{ include "frameline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The labels of a part's pods; `.stage`, merged. */}}
{{- define "frameline.podLabels" -}}
{{ include "frameline.selector" . }}
{{- with .stage.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "frameline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "frameline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "frameline.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}
