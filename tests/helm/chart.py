"""The chart through the real helm."""

import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "envicutor"
NAMESPACE = "envicutor-system"


class Chart:
    def __init__(self, helm):
        self.helm = helm
        # helm's own caches: away from the user's.
        self.home = tempfile.TemporaryDirectory(prefix="envicutor-helm-")

    def run(self, *args, kubeconfig="/dev/null", timeout=900):
        environment = {"PATH": "/usr/bin:/bin", "HOME": self.home.name, "KUBECONFIG": kubeconfig}
        return subprocess.run([str(self.helm), *map(str, args)], env=environment, text=True, capture_output=True,
                              timeout=timeout)

    def template(self, values=None, *args):
        """(exit status, stdout, stderr) of helm template with these values."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(values or {}, file)
            file.flush()
            return self.run("template", "envicutor", CHART, "-n", NAMESPACE, "-f", file.name, *args)

    def objects(self, values=None, *args):
        done = self.template(values, *args)
        assert done.returncode == 0, done.stderr
        return [o for o in yaml.safe_load_all(done.stdout) if o]


def find(objects, kind, suffix=""):
    """The one of that kind whose name ends so."""
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix)]
    assert len(found) == 1, [o["metadata"]["name"] for o in found]
    return found[0]


# Values that reach every branch of the templates.
KEY = "other-1:" + "A" * 43 + "="
MATRIX = {
    "defaults": {},
    "everything on": {
        "monitoring": {name: {"enabled": True} for name in
                       ("serviceMonitor", "podMonitor", "prometheusRule", "dashboards")},
        "runtimes": {"examples": ["bash", "c", "cpp", "python3"],
                     "custom": {"lua": {"environment": {"packages": ["lua5_4", "bash"]}, "sourceFile": "main.lua",
                                        "run": {"script": "exec lua main.lua \"$@\"", "limits": {"wallTime": "2s"}}}}},
        "global": {"imageRegistry": "registry.example.com/mirror", "imagePullSecrets": [{"name": "regcred"}],
                   "commonLabels": {"team": "judge"}, "priorityClassName": "system-cluster-critical"},
        "operator": {"config": {"limits": {"run": {"default": {"memory": "128Mi", "wallTime": "3s"},
                                                   "max": {"maxProcesses": 128}}},
                                "queue": {"maxLength": 1000, "perNamespaceMax": 100},
                                "scheduling": {"namespaceWeights": {"contest": 4},
                                               "inFlightPerNamespace": {"default": 8, "overrides": {"contest": 64}}},
                                "submissions": {"allowEnvironments": "packages", "ttlSecondsAfterFinished": 60},
                                "leaderElection": {"leaseDuration": "20s"}, "log": {"level": "debug"}},
                     "podAnnotations": {"a": "b"}, "podLabels": {"c": "d"},
                     "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                     "image": {"digest": "sha256:" + "0" * 64}},
        "localNodes": {"enabled": True},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]}},
    "cert-manager and an external cache": {
        "tls": {"mode": "certManager", "certManager": {"issuerRef": {"name": "envicutor-ca"}}},
        "cache": {"mode": "external", "url": "s3://bucket?region=eu-central-1", "publicKeys": [KEY],
                  "key": {"generate": False, "existingSecret": "my-key"},
                  "upstreams": [{"url": "https://cache.example.com", "publicKey": KEY}]},
        "networkPolicy": {"executorEgress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}]}},
    "small": {
        "crds": {"enabled": False}, "operator": {"replicas": 1, "serviceAccount": {"create": False, "name": "mine"}},
        "cache": {"mode": "none"}, "tls": {"mode": "existing"}, "networkPolicy": {"enabled": False},
        "rbac": {"aggregate": False, "catalogueForAll": False}, "helmTest": {"enabled": False},
        "executors": {"namespace": {"create": False, "name": "sandboxes"}, "sandbox": "native"},
        "setup": {"labelOperatorNamespace": False}, "runtimes": {"examples": []}, "pools": {"default": None}},
    "an emptyDir for the cache": {"cache": {"persistence": {"enabled": False}}, "rbac": {"create": False},
                                  "executors": {"namespace": {"keep": False}}, "crds": {"keep": False}},
    "a claim that exists": {"cache": {"persistence": {"existingClaim": "data"}}, "fullnameOverride": "judge"},
}
