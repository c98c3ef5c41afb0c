#!/usr/bin/python3
"""Envicutor's operator and local node on a real control plane, as an administrator would set them up:
CRDs, namespaces, certificates, the default ExecutorPool. Ends only the processes it started.

  tests/real/cluster.py [COMMAND...]

In a network namespace of its own, prints the kubeconfig's path, then runs COMMAND with it in
KUBECONFIG_E2E and ends with its exit status, or waits for Ctrl-C. ENVICUTOR_BIN: folder of the binaries.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import machine
import yaml
from control_plane import ControlPlane, Unavailable, free_port, openssl
from machine import BIN, ROOT, own_network

SYSTEM = "envicutor-system"
EXECUTORS = "envicutor-executors"
RULES = ROOT / "helm" / "envicutor" / "files"
AGENT = "executor.envicutor.internal"
MI = 1 << 20


class Account:
    """A ServiceAccount that may do what a file of rules of the Helm chart says, and no more."""

    NAMESPACES = {"clusterRules": None, "operatorNamespaceRules": SYSTEM, "executorNamespaceRules": EXECUTORS,
                  "nodeLeaseRules": "kube-node-lease"}

    def __init__(self, cluster, name, file):
        self.cluster, self.name = cluster, name
        self.user = f"system:serviceaccount:{SYSTEM}:{name}"
        self.rules = yaml.safe_load((RULES / file).read_text())
        cluster.create({"apiVersion": "v1", "kind": "ServiceAccount",
                        "metadata": {"name": name, "namespace": SYSTEM}})
        self.allow(self.rules)
        for part in self.rules:
            self.cluster.create(self._object(part, "Binding", roleRef={
                "apiGroup": "rbac.authorization.k8s.io", "kind": self._kind(part), "name": name},
                subjects=[{"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}]))
        asked = cluster.kubectl("create", "--raw", f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/{name}/token",
                                "-f", "-", stdin=json.dumps({"apiVersion": "authentication.k8s.io/v1",
                                                             "kind": "TokenRequest",
                                                             "spec": {"expirationSeconds": 7200}}))
        token = cluster.dir / f"{name}.token"
        token.write_text(json.loads(asked)["status"]["token"])
        config = json.loads(Path(cluster.kubeconfig).read_text())
        config["users"] = [{"name": "admin", "user": {"tokenFile": str(token)}}]
        self.kubeconfig = str(cluster.dir / f"{name}.kubeconfig")
        Path(self.kubeconfig).write_text(json.dumps(config))

    def allow(self, rules):
        """From now on it may do exactly this."""
        for part, given in rules.items():
            self.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(self._object(part, rules=given)))

    def _kind(self, part):
        return "Role" if self.NAMESPACES[part] else "ClusterRole"

    def _object(self, part, suffix="", **content):
        metadata = {"name": self.name}
        if self.NAMESPACES[part]:
            metadata["namespace"] = self.NAMESPACES[part]
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": self._kind(part) + suffix,
                "metadata": metadata, **content}


class RealCluster:
    """One executor a CPU, in machines of their own where this host has no cgroup v2; or, `degraded`, one
    executor on the host itself with a slot a CPU: for measuring, where a machine in between would be in the way."""

    def __init__(self, degraded=False):
        self.degraded = degraded
        self.plane = None
        self.probe_ports = {}  # of operators, by name
        self.names = {}  # of operators' logs, by process id

    def prepare(self):
        """What may need the network. Unavailable."""
        machine.check()
        ControlPlane.programs()
        self.plane = ControlPlane(audited=not self.degraded)
        try:
            self.controller_manager, self.no_controller_manager = ControlPlane.controller_manager(), None
        except Unavailable as why:
            self.controller_manager, self.no_controller_manager = None, str(why)
        self.dir = self.plane.dir
        self.store = self.dir / "store"
        self.nixpkgs = machine.nixpkgs_in(self.store)

    def start(self):
        self.plane.start()
        self.kubeconfig = self.plane.kubeconfig
        self.kubectl("apply", "-f", ROOT / "crds")
        self.kubectl("wait", "--for=condition=Established", "-f", ROOT / "crds", "--timeout=30s")
        self._certificates()
        for name in (SYSTEM, EXECUTORS):
            self.kubectl("create", "namespace", name)
        self.accounts = {"envicutor-operator": Account(self, "envicutor-operator", "operator-rules.yaml"),
                         "envicutor-node": Account(self, "envicutor-node", "node-rules.yaml")}
        pem = {name: base64.b64encode((self.dir / file).read_bytes()).decode() for name, file in
               (("tls.crt", "agent.crt"), ("tls.key", "agent.key"), ("ca.crt", "executor-ca.crt"))}
        self.create({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": pem,
                     "metadata": {"name": "envicutor-executor-tls", "namespace": EXECUTORS}})
        self.executors = 1 if self.degraded else os.cpu_count()
        slots = os.cpu_count() if self.degraded else 1
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        memory = max(512, min(3072, total * 3 // 4 // self.executors // MI))
        self.create({"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": "default"},
                     "spec": {"minReplicas": self.executors, "maxReplicas": self.executors, "slotsPerExecutor": slots,
                              "sandbox": "native",
                              "template": {"resources": {"limits": {"memory": f"{memory}Mi"}}}}})
        self.operator = self.start_operator("operator")
        self.start_node()
        self._wait_executors()
        return self

    def start_node(self):
        self.node = self.plane.spawn("node", BIN / "envicutor", "node", "--kubeconfig",
                                     self.accounts["envicutor-node"].kubeconfig, "--name", "real-node", "--data-dir", self.dir,
                                     *(["--node-mode", "host"] if self.degraded else []))

    def lose_node(self):
        """As when its machine loses power: the node and all of its containers are gone at once."""
        self.node.kill()
        self.node.wait()
        self.plane.processes = [(n, p) for n, p in self.plane.processes if p is not self.node]
        subprocess.run([BIN / "envicutor", "down", "--data-dir", self.dir], check=True, capture_output=True, timeout=60)

    def stop(self):
        if self.plane:
            self.plane.stop()

    def start_operator(self, name, **more):
        """Another operator process; it has a configuration and NAME.log of its own."""
        config = {
            "kubeconfig": self.accounts["envicutor-operator"].kubeconfig,
            "executorTls": {"caFile": str(self.dir / "executor-ca.crt"),
                            "certFile": str(self.dir / "operator-client.crt"),
                            "keyFile": str(self.dir / "operator-client.key")},
            "executor": {"storeHostPath": str(self.store), "sandbox": "native", "allowDegraded": self.degraded},
            "builder": {"storeHostPath": str(self.store), "nixpkgs": self.nixpkgs},
            "listen": {"probes": f"127.0.0.1:{self.probe_ports.setdefault(name, free_port())}",
                       "metrics": f"127.0.0.1:{free_port()}"},
            "submissions": {"runtimeWaitSeconds": 10}}  # shorter than the default: a test waits it out
        config.update(more)
        path = self.dir / f"{name}.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        process = self.plane.spawn(name, BIN / "envicutor-operator", "--config", path)
        self.names[process.pid] = name
        return process

    def _certificates(self):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=envicutor-executor-ca", "-keyout", "executor-ca.key", "-out", "executor-ca.crt",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", cwd=self.dir)
        for name, common_name, extensions in (
                ("agent", AGENT, f"subjectAltName=DNS:{AGENT}\nextendedKeyUsage=serverAuth\n"),
                ("operator-client", "envicutor-operator", "extendedKeyUsage=clientAuth\n")):
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={common_name}", "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=self.dir)
            (self.dir / f"{name}.ext").write_text(extensions)
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "executor-ca.crt", "-CAkey", "executor-ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt", cwd=self.dir)

    def _wait_executors(self):
        deadline = time.monotonic() + 120
        while True:
            if self.node.poll() is not None and "user-mode-linux" in (self.dir / "node.log").read_text():
                raise Unavailable("no cgroup v2 here, and no user-mode-linux")
            self.plane.check()
            pods = json.loads(self.kubectl("get", "pods", "-n", EXECUTORS, "-o", "json"))["items"]
            ready = [p for p in pods for c in p.get("status", {}).get("conditions", [])
                     if (c["type"], c["status"]) == ("Ready", "True")]
            if len(ready) >= self.executors:
                return
            if time.monotonic() > deadline:
                logs = {n: (self.dir / f"{n}.log").read_text(errors="replace")[-1500:] for n in ("operator", "node")}
                raise RuntimeError(f"{len(ready)} of {self.executors} executors are ready after 120 s: {logs}")
            time.sleep(0.3)  # between polls of the API, as kubectl wait does

    def kubectl(self, *args, stdin=None):
        done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *map(str, args)], input=stdin, text=True,
                              capture_output=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout

    def create(self, body):
        self.kubectl("create", "-f", "-", stdin=json.dumps(body))


def main():
    command = sys.argv[1:]
    if command[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    cluster = RealCluster()
    try:
        cluster.prepare()
        own_network()
        cluster.start()
        print(cluster.kubeconfig, flush=True)
        if command:
            return subprocess.run(command, env={**os.environ, "KUBECONFIG_E2E": cluster.kubeconfig}).returncode
        signal.pause()
    except KeyboardInterrupt:
        return 130
    except Unavailable as why:
        print(f"skipped: {why}", file=sys.stderr)
        return 75
    finally:
        cluster.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
