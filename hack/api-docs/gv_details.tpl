{{- define "gvDetails" -}}
## {{ .GroupVersionString }}

{{ .Doc }}

Kinds:
{{- range .SortedKinds }} {{ markdownRenderTypeLink ($.TypeForKind .) }}{{ end }}
{{ range .SortedKinds }}
{{- template "type" ($.TypeForKind .) }}
{{- end }}
## Types
{{ range .SortedTypes }}
{{- if not .GVK }}
{{- template "type" . }}
{{- end }}
{{- end }}
{{- end -}}
