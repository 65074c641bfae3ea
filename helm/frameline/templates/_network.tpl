{{/* Which ways a NetworkPolicy is about: egress only where rules for it are said. */}}
{{- define "frameline.policyTypes" -}}
{{- .Values.networkPolicy.egress | empty | ternary (list "Ingress") (list "Ingress" "Egress") | toJson -}}
{{- end -}}

{{- define "frameline.egress" -}}
{{- with .Values.networkPolicy.egress -}}
egress:
  - ports:
      - { port: 53, protocol: UDP }
      - { port: 53, protocol: TCP }
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Of pods that do one thing and end: nobody has anything to ask of them. `.components` that it is for. */}}
{{- define "frameline.taskPolicy" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: frameline
    app.kubernetes.io/instance: {{ .root.Release.Name }}
  matchExpressions:
    - { key: app.kubernetes.io/component, operator: In, values: {{ .components | toJson }} }
policyTypes: {{ include "frameline.policyTypes" .root }}
ingress: []
{{- with include "frameline.egress" .root }}
{{ . }}
{{- end }}
{{- end -}}
