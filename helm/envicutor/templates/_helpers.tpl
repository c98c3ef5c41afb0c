{{/* Names, labels, images: what every template shares. */}}

{{- define "envicutor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "envicutor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "envicutor.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "envicutor.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "envicutor.executorNamespace" -}}
{{- if eq .Values.executors.namespace.name .Release.Namespace -}}
{{- fail "executors.namespace.name: must not be the release's namespace: executor pods are privileged, the operator's namespace is not" -}}
{{- end -}}
{{- .Values.executors.namespace.name -}}
{{- end -}}

{{- define "envicutor.chartLabels" -}}
app.kubernetes.io/name: {{ include "envicutor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: envicutor
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.global.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (dict "root" . "component" NAME) */}}
{{- define "envicutor.labels" -}}
app.kubernetes.io/component: {{ .component }}
{{ include "envicutor.chartLabels" .root }}
{{- end -}}

{{- define "envicutor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "envicutor.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (dict "root" . "image" .Values.X.image) */}}
{{- define "envicutor.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "envicutor.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "envicutor.serviceAccountName" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (printf "%s-operator" (include "envicutor.fullname" .)) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- required "operator.serviceAccount.name: is required with operator.serviceAccount.create false" .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "envicutor.setupName" -}}
{{- printf "%s-setup" (include "envicutor.fullname" .) -}}
{{- end -}}

{{- define "envicutor.cacheName" -}}
{{- printf "%s-cache" (include "envicutor.fullname" .) -}}
{{- end -}}

{{- define "envicutor.cacheHost" -}}
{{- printf "%s.%s.svc" (include "envicutor.cacheName" .) .Release.Namespace -}}
{{- end -}}

{{- define "envicutor.cacheUrl" -}}
{{- if eq .Values.cache.mode "internal" -}}
http://{{ include "envicutor.cacheHost" . }}:8080
{{- else if eq .Values.cache.mode "external" -}}
{{- required "cache.url: is required with cache.mode external" .Values.cache.url -}}
{{- end -}}
{{- end -}}

{{/* "true" where the setup Job makes the cache's key. */}}
{{- define "envicutor.makesKey" -}}
{{- if and (ne .Values.cache.mode "none") .Values.cache.key.generate -}}true{{- end -}}
{{- end -}}

{{- define "envicutor.keySecret" -}}
{{- if or .Values.cache.key.generate (eq .Values.cache.mode "none") -}}
envicutor-cache-key
{{- else -}}
{{- required "cache.key.existingSecret: is required with cache.key.generate false" .Values.cache.key.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* What Pod Security's profile "restricted" asks of a container. */}}
{{- define "envicutor.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "envicutor.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The operator's configuration file, docs/configuration.md. */}}
{{- define "envicutor.operatorConfig" -}}
{{- $own := .Values.operator.config -}}
{{- $config := dict
  "operatorNamespace" .Release.Namespace
  "executorNamespace" (include "envicutor.executorNamespace" .)
  "executorTls" (dict "caFile" "/etc/envicutor/tls/ca.crt" "certFile" "/etc/envicutor/tls/tls.crt" "keyFile" "/etc/envicutor/tls/tls.key")
  "listen" (dict "probes" "$(POD_IP):8081" "metrics" "$(POD_IP):9464")
  "executor" (dict "image" (include "envicutor.image" (dict "root" . "image" .Values.executors.image))
                   "storeHostPath" .Values.executors.storeHostPath "sandbox" .Values.executors.sandbox
                   "allowDegraded" .Values.executors.allowDegraded)
  "builder" (dict "image" (include "envicutor.image" (dict "root" . "image" .Values.builder.image))
                  "storeHostPath" .Values.executors.storeHostPath "nixpkgs" .Values.builder.nixpkgs
                  "timeout" .Values.builder.timeout "memory" .Values.builder.memory
                  "concurrency" .Values.builder.concurrency) -}}
{{- if ne .Values.cache.mode "none" -}}
{{- $cache := dict "url" (include "envicutor.cacheUrl" .) "publicKeys" .Values.cache.publicKeys "upstreams" .Values.cache.upstreams
  "maxSize" .Values.cache.maxSize "executorMaxSize" .Values.cache.executorMaxSize
  "keySecret" (include "envicutor.keySecret" .) "gcInterval" .Values.cache.gcInterval "gcGrace" .Values.cache.gcGrace -}}
{{- if include "envicutor.makesKey" . -}}
{{- $_ := set $cache "publicKeys" (prepend .Values.cache.publicKeys "$(CACHE_PUBLIC_KEY)") -}}
{{- else if not .Values.cache.publicKeys -}}
{{- fail "cache.publicKeys: is required with cache.key.generate false: executors accept nothing unsigned" -}}
{{- end -}}
{{- $_ := set $config "cache" $cache -}}
{{- end -}}
{{- range $key, $value := $own -}}
{{- if $value -}}{{- $_ := set $config $key $value -}}{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "envicutor.restartConfig" -}}
{{- $config := include "envicutor.operatorConfig" . | fromYaml -}}
{{- $submissions := default dict $config.submissions -}}
{{- $log := default dict $config.log -}}
{{- toYaml (omit $config "limits" "queue" "scheduling" "submissions" "log") }}
{{ toYaml (dict "workers" $submissions.workers "format" $log.format) }}
{{- end -}}

{{/* ExecutorPools and Runtimes, which the setup Job applies: their types may be as new as this release. */}}
{{- define "envicutor.objects" -}}
{{- $root := . -}}
{{- range $name, $spec := .Values.pools }}
pool-{{ $name }}.yaml: |
  apiVersion: envicutor.io/v1alpha1
  kind: ExecutorPool
  metadata:
    name: {{ $name }}
  spec:
    {{- toYaml $spec | nindent 4 }}
{{- end }}
{{- range $name := .Values.runtimes.examples }}
runtime-{{ $name }}.yaml: |
  {{- $root.Files.Get (printf "files/runtimes/%s.yaml" $name) | nindent 2 }}
{{- end }}
{{- range $name, $spec := .Values.runtimes.custom }}
{{- if has $name $root.Values.runtimes.examples }}
{{- fail (printf "runtimes.custom.%s: is in runtimes.examples too; take it out of one of them" $name) }}
{{- end }}
runtime-{{ $name }}.yaml: |
  apiVersion: envicutor.io/v1alpha1
  kind: Runtime
  metadata:
    name: {{ $name }}
  spec:
    {{- toYaml $spec | nindent 4 }}
{{- end }}
{{- end -}}
