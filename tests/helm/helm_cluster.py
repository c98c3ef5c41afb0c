"""A cluster to install the chart in: a real kube-apiserver and kube-controller-manager, and our own node for the
pods. It has no images, DNS or Services: the chart's containers are the programs of ENVICUTOR_BIN, and the cache is a
folder of the node. Ends only the processes it started."""

import json
import subprocess
import time

import machine
import yaml

from chart import CHART, NAMESPACE
from control_plane import ControlPlane, free_port
from machine import BIN, own_network

EXECUTORS = "envicutor-executors"
CONTROLLERS = ("deployment-controller", "replicaset-controller", "job-controller", "cronjob-controller",
               "statefulset-controller", "serviceaccount-controller", "serviceaccount-token-controller",
               "root-ca-certificate-publisher-controller", "garbage-collector-controller", "namespace-controller",
               "clusterrole-aggregation-controller", "ttl-after-finished-controller", "disruption-controller")


class Plane(ControlPlane):
    """With service accounts, as in a cluster."""

    def spawn(self, name, *command):
        if name == "kube-apiserver" and "--disable-admission-plugins" in command:
            at = command.index("--disable-admission-plugins")
            command = (*command[:at], *command[at + 2:])
        return super().spawn(name, *command)


class HelmCluster:
    def __init__(self, chart):
        self.chart = chart
        self.plane = None

    def prepare(self, tools):
        """What may need the network. Unavailable."""
        machine.check()
        self.tools = tools
        self.plane = Plane()
        self.dir = self.plane.dir
        self.store = self.dir / "store"
        self.nixpkgs = machine.nixpkgs_in(self.store)

    def start(self):
        own_network()
        self.plane.start()
        self.kubeconfig = self.plane.kubeconfig
        self.plane.spawn("kube-controller-manager", self.tools / "kube-controller-manager",
                         "--kubeconfig", self.kubeconfig, "--leader-elect=false",
                         "--controllers", ",".join(CONTROLLERS),
                         "--service-account-private-key-file", self.dir / "sa.key",
                         "--root-ca-file", self.dir / "certs" / "apiserver.crt",
                         "--bind-address", "127.0.0.1", "--secure-port", free_port(),
                         "--cert-dir", self.dir / "controller-certs")
        self.node = self.plane.spawn("node", BIN / "envicutor", "node", "--kubeconfig", self.kubeconfig, "--name",
                                     "helm-node", "--data-dir", self.dir, "--system-namespace", NAMESPACE)

    def stop(self):
        if self.plane:
            self.plane.stop()

    def values(self, **more):
        """Values for this cluster; deep in `more` what a test changes."""
        values = {
            "executors": {"sandbox": "native", "storeHostPath": str(self.store)},
            "builder": {"nixpkgs": self.nixpkgs},
            "cache": {"mode": "external", "url": "file:///var/lib/envicutor/store/cache"},
            "pools": {"default": {"minReplicas": 1, "maxReplicas": 1, "slotsPerExecutor": 1,
                                  "template": {"resources": {"requests": {"cpu": "100m"},
                                                             "limits": {"memory": "1Gi"}}}}},
        }
        merge(values, more)
        path = self.dir / "values.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    def helm(self, *args, timeout=600):
        done = self.chart.run(*args, "-n", NAMESPACE, kubeconfig=self.kubeconfig, timeout=timeout)
        assert done.returncode == 0, f"helm {args[0]}: {done.stdout}{done.stderr}\n{self.story()}"
        return done.stdout

    def install(self, **more):
        return self.helm("install", "envicutor", CHART, "--create-namespace", "-f", self.values(**more), "--wait",
                         "--wait-for-jobs", "--timeout", "5m")

    def upgrade(self, **more):
        return self.helm("upgrade", "envicutor", CHART, "-f", self.values(**more), "--wait", "--wait-for-jobs",
                         "--timeout", "5m")

    def kubectl(self, *args, stdin=None, timeout=300):
        done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *map(str, args)], input=stdin, text=True,
                              capture_output=True, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}: {done.stderr}\n{self.story()}"
        return done.stdout

    def can_i(self, *what):
        """"yes" or "no", as kubectl auth can-i says."""
        return subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, "auth", "can-i", *what], text=True,
                              capture_output=True).stdout.strip()

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def names(self, kind, namespace, *args):
        return [o["metadata"]["name"] for o in self.get(kind, "-n", namespace, *args)["items"]]

    def until(self, condition, seconds, what):
        deadline = time.monotonic() + seconds
        while not condition():
            self.plane.check()
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.story()}"
            time.sleep(0.5)  # between polls of the API, as kubectl wait does

    def story(self):
        """What a person would look at when it does not work."""
        text = []
        for args in (("get", "pods,jobs,deployments", "-A", "-o", "wide"), ("get", "executorpools,runtimes"),
                     ("get", "events", "-A", "--sort-by=.lastTimestamp"),
                     ("logs", "-n", NAMESPACE, "deployment/envicutor-operator", "--tail=30"),
                     ("logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=setup", "--tail=20")):
            done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *args], text=True, capture_output=True)
            text.append(f"$ kubectl {' '.join(args)}\n" + (done.stdout + done.stderr)[-6000:])
        for name in ("node", "kube-controller-manager"):
            text.append(f"{name}.log: " + (self.dir / f"{name}.log").read_text(errors="replace")[-1500:])
        return "\n".join(text)

    def submit(self, name, source, runtime="bash"):
        """Applies a Submission in the namespace default and gives its status when it has finished."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "envicutor.io/v1alpha1", "kind": "Submission", "metadata": {"name": name},
            "spec": {"runtimeRef": {"name": runtime}, "source": source}}))
        self.kubectl("wait", f"submission/{name}", "--for=condition=Finished", "--timeout=240s")
        return self.get("submission", name)["status"]


def merge(into, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
