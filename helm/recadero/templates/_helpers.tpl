{{/* Names. Short enough for what is put behind them. */}}
{{- define "recadero.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "recadero.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "recadero.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "recadero.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "recadero.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "recadero.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "recadero.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* What never changes, and selects. */}}
{{- define "recadero.selector" -}}
app.kubernetes.io/name: {{ include "recadero.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "recadero.labels" -}}
{{ include "recadero.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The Deployments, as a map from component to what it runs. */}}
{{- define "recadero.workloads" -}}
{{- if eq .Values.layout "single" -}}
all:
  roles: router,deliverer,api,notifier
  name: {{ include "recadero.fullname" . }}
  replicas: {{ .Values.replicas }}
  scaled: {{ ne .Values.autoscaling.kind "none" }}
  resources: {{ .Values.resources | toJson }}
{{- else -}}
{{- range $role, $of := .Values.roles }}
{{- if $of.enabled }}
{{ $role }}:
  roles: {{ $role }}
  name: {{ include "recadero.fullname" $ }}-{{ $role }}
  replicas: {{ $of.replicas }}
  scaled: {{ and (eq $role "deliverer") (ne $.Values.autoscaling.kind "none") }}
  resources: {{ $of.resources | toJson }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The one that is scaled. */}}
{{- define "recadero.scaled" -}}
{{- range $component, $of := include "recadero.workloads" . | fromYaml -}}
{{- if $of.scaled }}{{ $of.name }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether the API is among them. */}}
{{- define "recadero.hasApi" -}}
{{- if or (eq .Values.layout "single") .Values.roles.api.enabled -}}yes{{- end -}}
{{- end -}}

{{/* The component that serves the API. */}}
{{- define "recadero.apiComponent" -}}
{{- if eq .Values.layout "single" }}all{{ else }}api{{ end -}}
{{- end -}}

{{/* The environment variable of an option. OpenTelemetry names its own. */}}
{{- define "recadero.variable" -}}
{{- $upper := . | upper | replace "-" "_" -}}
{{- if hasPrefix "OTEL_" $upper }}{{ $upper }}{{ else }}RECADERO_{{ $upper }}{{ end -}}
{{- end -}}

{{/* A value as one writes it: whole numbers without an exponent. */}}
{{- define "recadero.value" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* Whole seconds of a duration, at least 1. */}}
{{- define "recadero.seconds" -}}
{{- if hasSuffix "ms" . -}}{{ max 1 (div (trimSuffix "ms" . | int) 1000) }}
{{- else if hasSuffix "d" . -}}{{ mul (trimSuffix "d" . | int) 86400 }}
{{- else if hasSuffix "h" . -}}{{ mul (trimSuffix "h" . | int) 3600 }}
{{- else if hasSuffix "m" . -}}{{ mul (trimSuffix "m" . | int) 60 }}
{{- else -}}{{ trimSuffix "s" . | int }}
{{- end -}}
{{- end -}}

{{- define "recadero.secretName" -}}
{{ .Values.existingSecret | default (include "recadero.fullname" .) }}
{{- end -}}

{{/* What every container may do: nothing. */}}
{{- define "recadero.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "recadero.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What the schema cannot say: values that do not go together, in words. */}}
{{- define "recadero.validate" -}}
{{- $v := .Values -}}
{{- if and $v.existingSecret (or $v.trial.enabled (compact (values $v.secrets))) -}}
{{- fail "existingSecret is set, so that nothing is taken from `secrets` or `trial`: leave those empty, or existingSecret" -}}
{{- end -}}
{{- if not $v.existingSecret -}}
{{- if not $v.trial.enabled -}}
{{- range list "amqp-url" "redis-url" -}}
{{- if not (index $v.secrets .) -}}
{{- fail (printf "secrets.%s is missing: set it, or name a Secret that has %s in existingSecret, or try the chart with trial.enabled=true" . (include "recadero.variable" .)) -}}
{{- end -}}
{{- end -}}
{{- if and (include "recadero.hasApi" .) (not (index $v.secrets "admin-tokens")) -}}
{{- fail "secrets.admin-tokens is missing: the api role refuses to start without one (openssl rand -hex 32)" -}}
{{- end -}}
{{- end -}}
{{- if and $v.trial.enabled (or (index $v.secrets "amqp-url") (index $v.secrets "redis-url")) -}}
{{- fail "trial.enabled brings a RabbitMQ and a Redis of its own: leave secrets.amqp-url and secrets.redis-url empty, or turn the trial off" -}}
{{- end -}}
{{- end -}}
{{- /* Here and not in the schema, whose messages show the value. */}}
{{- range $secret, $begins := dict "amqp-url" "amqps?://" "redis-url" "(rediss?|redis-sentinel)://" "egress-proxy" "http://" "smtp-url" "smtps?://" -}}
{{- with index $v.secrets $secret -}}
{{- if not (regexMatch (printf "^%s." $begins) .) -}}
{{- fail (printf "secrets.%s is not a URL that begins with %s" $secret ($begins | replace "s?" "[s]" | replace "|" " or ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "admin-tokens" "token-keys" -}}
{{- $secret := . -}}
{{- range splitList "," (index $v.secrets .) -}}
{{- if and (index $v.secrets $secret) (lt (trim . | len) 32) -}}
{{- fail (printf "secrets.%s has an entry shorter than 32 characters (openssl rand -hex 32)" $secret) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (index $v.secrets "smtp-url") (not (index $v.config "mail-from")) -}}
{{- fail "secrets.smtp-url is set, so config.mail-from must name the sender of e-mails" -}}
{{- end -}}
{{- if and (eq $v.layout "roles") (not (include "recadero.workloads" . | fromYaml)) -}}
{{- fail "layout is `roles` and every role is disabled: nothing would run" -}}
{{- end -}}
{{- if and (ne $v.autoscaling.kind "none") (not (include "recadero.scaled" .)) -}}
{{- fail "autoscaling scales the deliverers, and roles.deliverer is disabled" -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas is %d and more than maxReplicas, %d" (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not (include "recadero.hasApi" .)) -}}
{{- fail "ingress.enabled leads to the API, and roles.api is disabled" -}}
{{- end -}}
{{- if and (not $v.config.declare) $v.trial.enabled (not $v.topology.enabled) -}}
{{- fail "config.declare is false and the trial's RabbitMQ is empty: set topology.enabled=true, or config.declare=true" -}}
{{- end -}}
{{- end -}}
