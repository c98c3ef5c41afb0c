#!/usr/bin/env python3
"""docs/operations.md has every metric, condition reason, event and alert that the code can say."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# CamelCase words of the operator that are Kubernetes' own, or parts of a protocol.
NOT_OURS = {"True", "False", "Unknown", "Normal", "Warning", "Pod", "ConfigMap", "Secret", "Never", "Always",
            "DirectoryOrCreate", "Directory", "Background", "Foreground", "Error", "Done", "PodScheduled",
            "PodInitializing", "ContainerCreating", "Node", "Memory", "Host", "Exists", "Equal", "Orphan",
            "OnFailure", "Default", "None", "File", "Lease", "Event", "Runtime", "Submission", "Opaque",
            "AccessDenied", "FileSize", "StorePath", "RuntimeDefault", "Bidirectional", "Basic", "Bearer"}


def sources(folder):
    return [p.read_text() for p in sorted((ROOT / folder).rglob("*.cpp"))]


def main():
    guide = (ROOT / "docs/operations.md").read_text()
    words = set(re.findall(r"[A-Za-z_]\w+", guide))
    missing = []
    for text in sources("common/metrics"):
        for name in re.findall(r'"((?:envicutor|workqueue|controller_runtime|rest_client|leader_election)_\w+)"', text):
            if name not in words:
                missing.append(f"metric {name}")
    # The builder's HTTP headers and Nix's keywords are one word; its reasons are more.
    words_of = [(text, r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"') for text in sources("operator")]
    words_of += [(text, r'"([A-Z][a-z]+(?:[A-Z][a-z]+)+)"') for text in sources("executor-agent/builder")]
    for text, pattern in words_of:
        for name in re.findall(pattern, text):
            if name not in words and name not in NOT_OURS:
                missing.append(f"reason, event or condition {name}")
    alerts = (ROOT / "helm/envicutor/alerts/envicutor.yaml").read_text()
    for name in re.findall(r"alert: (\w+)", alerts):
        if f"\n### {name}\n" not in guide:
            missing.append(f"alert {name}")
    for name in re.findall(r"^### (Envicutor\w+)$", guide, re.M):
        if f"alert: {name}\n" not in alerts:
            missing.append(f"alert {name}: explained, but there is none")
    for line in sorted(set(missing)):
        print(f"docs/operations.md: {line}")
    print(f"documented: {len(set(missing))} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
