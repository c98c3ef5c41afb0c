{{/* The pod of the setup Jobs: (dict "root" . "args" LIST "objects" BOOL) */}}
{{- define "envicutor.setupPod" -}}
metadata:
  labels:
    {{- include "envicutor.labels" (dict "root" .root "component" "setup") | nindent 4 }}
spec:
  restartPolicy: OnFailure
  serviceAccountName: {{ include "envicutor.setupName" .root }}
  enableServiceLinks: false
  {{- include "envicutor.pullSecrets" .root | nindent 2 }}
  securityContext:
    {{- include "envicutor.podSecurity" .root | nindent 4 }}
  containers:
    - name: setup
      image: {{ include "envicutor.image" (dict "root" .root "image" .root.Values.setup.image) | quote }}
      imagePullPolicy: {{ .root.Values.setup.image.pullPolicy }}
      command: [envicutor, setup]
      args:
        {{- toYaml .args | nindent 8 }}
      resources:
        {{- toYaml .root.Values.setup.resources | nindent 8 }}
      securityContext:
        {{- include "envicutor.containerSecurity" .root | nindent 8 }}
      {{- if .objects }}
      volumeMounts:
        - {name: objects, mountPath: /etc/envicutor/objects, readOnly: true}
      {{- end }}
  {{- if .objects }}
  volumes:
    - name: objects
      configMap:
        name: {{ include "envicutor.fullname" .root }}-objects
  {{- end }}
  {{- with .root.Values.setup.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.setup.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "envicutor.tlsArgs" -}}
- --namespace
- {{ .Release.Namespace }}
- --executor-namespace
- {{ include "envicutor.executorNamespace" . }}
- --tls
- --validity-hours
- {{ .Values.tls.validityHours | quote }}
- --renew-before-hours
- {{ .Values.tls.renewBeforeHours | quote }}
{{- end -}}

{{- define "envicutor.setupArgs" -}}
{{- if ge (int .Values.tls.renewBeforeHours) (int .Values.tls.validityHours) }}
{{- fail "tls.renewBeforeHours: must be less than tls.validityHours" }}
{{- end }}
{{- if eq .Values.tls.mode "selfSigned" }}
{{ include "envicutor.tlsArgs" . }}
{{- else }}
- --namespace
- {{ .Release.Namespace }}
- --executor-namespace
- {{ include "envicutor.executorNamespace" . }}
{{- end }}
{{- if include "envicutor.makesKey" . }}
- --cache-key
- {{ .Values.cache.key.name }}
{{- end }}
{{- if ne .Values.cache.mode "none" }}
- --cache-key-secret
- {{ include "envicutor.keySecret" . }}
{{- end }}
{{- if eq .Values.cache.mode "internal" }}
- --cache-host
- {{ include "envicutor.cacheHost" . }}
{{- end }}
{{- if .Values.setup.labelOperatorNamespace }}
- --label-namespace
{{- end }}
- --release
- {{ .Release.Name }}
- --objects
- /etc/envicutor/objects
{{- end -}}
