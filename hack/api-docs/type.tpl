{{- define "type" -}}
{{- if markdownShouldRenderType . }}
### {{ .Name }}
{{- with .Doc }}

{{ . }}
{{ end }}
{{- if .IsAlias }}
A {{ markdownRenderTypeLink .UnderlyingType }}.{{ with .Validation }} {{ join "; " . }}.{{ end }}
{{ end }}
{{- with .SortedReferences }}
Used by {{ range $i, $ref := . }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $ref }}{{ end }}.
{{ end }}
{{- if .Members }}
| field | meaning | default | bounds |
| --- | --- | --- | --- |
{{- if .GVK }}
| `apiVersion` | `{{ .GVK.Group }}/{{ .GVK.Version }}` | | |
| `kind` | `{{ .GVK.Kind }}` | | |
{{- end }}
{{- range .Members }}
| `{{ .Name }}` _{{ markdownRenderType .Type }}_ | {{ template "type_members" . }} | {{ markdownRenderDefault .Default }} | {{ template "bounds" .Validation }} |
{{- end }}
{{ end }}
{{- if .EnumValues }}
| value | meaning |
| --- | --- |
{{- range .EnumValues }}
| `{{ .Name }}` | {{ markdownRenderFieldDoc .Doc }} |
{{- end }}
{{ end }}
{{- end }}
{{- end -}}

{{- define "bounds" -}}
{{- $shown := list }}
{{- range . }}
{{- if hasPrefix "Required" . }}{{ $shown = prepend $shown "required" }}
{{- else if not (hasPrefix "Optional" .) }}{{ $shown = append $shown (markdownRenderFieldDoc .) }}
{{- end }}
{{- end }}
{{- join "<br />" $shown }}
{{- end -}}
