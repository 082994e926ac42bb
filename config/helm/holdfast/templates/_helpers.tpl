{{- define "holdfast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "holdfast.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "holdfast.selectorLabels" -}}
app.kubernetes.io/name: {{ include "holdfast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "holdfast.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "holdfast.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "holdfast.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "holdfast.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The profile's bytes and 16Mi: page tables, page cache, socket buffers. */}}
{{- define "holdfast.memory" -}}
{{- get (dict "edge16" "32Mi" "hub32" "48Mi" "hub64" "80Mi") .Values.profile }}
{{- end }}

{{- define "holdfast.resources" -}}
{{- $memory := include "holdfast.memory" . }}
{{- $ours := dict "requests" (dict "cpu" "50m" "memory" $memory) "limits" (dict "memory" $memory) }}
{{- toYaml (mergeOverwrite $ours (deepCopy .Values.resources)) }}
{{- end }}

{{/* holdfast.yaml */}}
{{- define "holdfast.config" -}}
{{- $v := .Values.ingest }}
{{- $ingest := dict "enabled" true "source" "crd" "event_types" $v.eventTypes "suppress_unchanged" $v.suppressUnchanged
  "environment" $v.environment "allow_plaintext" $v.allowPlaintext "snapshot_bytes_max" $v.snapshotBytesMax
  "spool" (dict "bytes_max" $v.spoolBytesMax) }}
{{- if .Values.kinds }}
{{- $_ := set $ingest "kinds" .Values.kinds }}
{{- end }}
{{- if $v.caConfigMap }}
{{- $_ := set $ingest "ca" "/etc/holdfast-ca/ca.crt" }}
{{- end }}
{{- $config := dict "version" 1 "data" "/var/lib/holdfast" "listen" ":9464" "log" .Values.log "ingest" $ingest }}
{{- toYaml (mergeOverwrite (deepCopy $config) (deepCopy .Values.extraConfig)) }}
{{- end }}
