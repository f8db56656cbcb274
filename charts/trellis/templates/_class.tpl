{{- /* "true" where the cluster serves PatternClass already. */ -}}
{{- define "trellis.classServed" -}}
{{- if .Capabilities.APIVersions.Has "patterns.trellis.dev/v1alpha1/PatternClass" }}true{{ end }}
{{- end }}

{{- /*
The version of the plane: what the values say, else what the class in the
cluster says, else the chart's. So an upgrade of the operator restarts no plane.
*/ -}}
{{- define "trellis.planeVersion" -}}
{{- $class := .Values.defaultClass }}
{{- $version := $class.plane.version }}
{{- if and (not $version) (include "trellis.classServed" .) }}
{{- $found := lookup "patterns.trellis.dev/v1alpha1" "PatternClass" "" $class.name }}
{{- $version = dig "spec" "plane" "version" "" ($found | default dict) }}
{{- end }}
{{- default .Chart.AppVersion $version }}
{{- end }}

{{- /* An engine as the list entry of a PatternClass; its argument is a dict of type and engine. */ -}}
{{- define "trellis.engine" -}}
{{- $engine := .engine -}}
- type: {{ .type }}
  {{- if $engine.external }}
  external:
    {{- toYaml $engine.external | nindent 4 }}
  {{- else }}
  image: {{ $engine.image }}
  {{- with $engine.replicas }}
  replicas: {{ . }}
  {{- end }}
  {{- with $engine.storage }}
  storage:
    {{- with .size }}
    size: {{ . }}
    {{- end }}
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
  {{- end }}
  {{- with $engine.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}
