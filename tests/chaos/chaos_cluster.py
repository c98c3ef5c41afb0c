"""Envicutor in parts that can be hurt: an API server (the embedded one, or a real kube-apiserver) whose data
is on a small disk, a node with its own small disk, two operators whose connections go through the proxy.
In network and mount namespaces of its own; ends only the processes it started."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "real"), str(ROOT / "tests" / "e2e")]

from cluster import BIN, EXECUTORS, SYSTEM, RealCluster, own_network  # noqa: E402
from control_plane import ControlPlane, Unavailable, free_port, openssl  # noqa: E402
from history import executors_of  # noqa: E402
from proxy import Proxy  # noqa: E402

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
PODS = 24  # as many addresses have a proxy


def own_mounts():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
        raise Unavailable(f"no mount namespace: {os.strerror(ctypes.get_errno())}")


class EmbeddedPlane(ControlPlane):
    """`envicutor apiserver` where ControlPlane has a kube-apiserver; the same methods."""

    def start(self):
        self.port = free_port()
        token = "envicutor-test-admin"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-keyout", "api.key", "-out", "api.crt", cwd=self.dir)
        (self.dir / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        self.spawn("kube-apiserver", BIN / "envicutor", "apiserver", "--data-dir", self.dir / "apidata", "--port",
                   self.port, "--tls-cert-file", self.dir / "api.crt", "--tls-private-key-file",
                   self.dir / "api.key", "--token-auth-file", self.dir / "tokens.csv")
        self.write_kubeconfig(self.kubeconfig, self.port, token)
        self._wait_ready()
        return self

    @staticmethod
    def write_kubeconfig(path, port, token):
        Path(path).write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}",
                                                   "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "admin"}}]}))


class ChaosCluster(RealCluster):
    """start() on an embedded API server; with real=True on etcd and kube-apiserver."""

    def __init__(self, real=False, seed=1):
        super().__init__()
        self.real, self.seed = real, seed
        self.proxy = None
        self.disks = {}

    def prepare(self):
        if self.real:
            super().prepare()
        else:
            if os.geteuid() != 0:
                raise Unavailable("sandboxes need root")
            for tool in ("openssl", "kubectl", "ip", "nix-build", "gcc"):
                if not shutil.which(tool):
                    raise Unavailable(f"no {tool}")
            self.plane = EmbeddedPlane()
            self.dir = self.plane.dir
            self.store = self.dir / "store"
            fetch = ROOT / "standalone" / "nixpkgs" / "fetch"
            done = subprocess.run([fetch, self.store / "nixpkgs"], capture_output=True, text=True)
            if done.returncode != 0:
                raise Unavailable("no packages for Runtimes: " + (done.stderr.strip().splitlines() or ["?"])[-1])
            self.nixpkgs = "/var/lib/envicutor/store" + done.stdout.strip()[len(str(self.store)):]
        own_network()
        own_mounts()
        self.proxy = Proxy()  # its thread belongs into these namespaces
        self._disk("api", self.dir / ("etcd" if self.real else "apidata"), "160m" if self.real else "48m")
        self._disk("node", self.dir / "node", "96m")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.dir / "redirect.so",
                        Path(__file__).with_name("redirect.c"), "-ldl"], check=True)

    def _disk(self, name, folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # etcd insists
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "chaos", folder], check=True)
        self.disks[name] = folder

    def start(self):
        self.plane.start()
        self.kubeconfig = self.plane.kubeconfig
        self.kubectl("apply", "-f", ROOT / "crds")
        self.kubectl("wait", "--for=condition=Established", "-f", ROOT / "crds", "--timeout=30s")
        self._certificates()
        if self.real:
            for name in (SYSTEM, EXECUTORS):
                self.kubectl("create", "namespace", name)
        self.kubectl("create", "secret", "generic", "envicutor-executor-tls", "-n", EXECUTORS,
                     f"--from-file=tls.crt={self.dir}/agent.crt", f"--from-file=tls.key={self.dir}/agent.key",
                     f"--from-file=ca.crt={self.dir}/executor-ca.crt")
        self.executors = 2
        self.create({"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": "default"},
                     "spec": {"minReplicas": 2, "maxReplicas": 2, "slotsPerExecutor": 1, "sandbox": "native",
                              "template": {"resources": {"limits": {"memory": "640Mi"}}}}})
        # The proxy before the API server and before every pod.
        port = self.proxy.add("api", ("127.0.0.1", self.plane.port), seed=self.seed)[1]
        for n in range(1, PODS + 1):
            self.proxy.add("agents", (f"127.77.0.{n}", 8443), (f"127.78.0.{n}", 8443), seed=self.seed + n)
        self.proxied = str(self.dir / "proxied.kubeconfig")
        EmbeddedPlane.write_kubeconfig(self.proxied, port, "envicutor-test-admin")
        self.clock = self.dir / "clock"
        self.clock.write_text("+0\n")
        self.environment = {**os.environ, "LD_PRELOAD": str(self.dir / "redirect.so")}
        self.faketime = os.path.exists(FAKETIME)
        if self.faketime:
            self.environment |= {"LD_PRELOAD": f"{self.dir}/redirect.so:{FAKETIME}", "FAKETIME_NO_CACHE": "1",
                                 "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.running = {}
        for name in ("operator-a", "operator-b", "node"):
            self.run(name)
        self.node = self.running["node"]
        self._wait_ready_executors()
        return self

    def _wait_ready_executors(self):
        deadline = time.monotonic() + 150
        while True:
            if "user-mode-linux" in (self.dir / "node.log").read_text() and self.running["node"].poll() is not None:
                raise Unavailable("no cgroup v2 here, and no user-mode-linux")
            pods = json.loads(self.kubectl("get", "pods", "-n", EXECUTORS, "-o", "json"))["items"]
            ready = [p for p in pods for c in p.get("status", {}).get("conditions", [])
                     if (c["type"], c["status"]) == ("Ready", "True")]
            if len(ready) >= self.executors:
                return
            if time.monotonic() > deadline:
                logs = {n: (self.dir / f"{n}.log").read_text(errors="replace")[-1500:] for n in self.running}
                raise RuntimeError(f"{len(ready)} of {self.executors} executors are ready after 150 s: {logs}")
            time.sleep(0.3)  # between polls of the API, as kubectl wait does

    def run(self, name):
        """Starts it again, as a service manager would."""
        before = self.running.get(name)
        if before is not None:
            self.plane.processes = [(n, p) for n, p in self.plane.processes if p is not before]
        if name == "node":
            process = self.plane.spawn(name, BIN / "envicutor", "node", "--kubeconfig", self.kubeconfig, "--name",
                                       "chaos-node", "--data-dir", self.dir)
        else:
            config = {
                "kubeconfig": self.proxied, "leaderElection": {"enabled": True, "leaseDuration": "6s",
                                                               "renewDeadline": "4s", "retryPeriod": "1s"},
                "executorTls": {"caFile": str(self.dir / "executor-ca.crt"),
                                "certFile": str(self.dir / "operator-client.crt"),
                                "keyFile": str(self.dir / "operator-client.key")},
                "executor": {"storeHostPath": str(self.store), "sandbox": "native"},
                "builder": {"storeHostPath": str(self.store), "nixpkgs": self.nixpkgs},
                "listen": {"probes": "", "metrics": ""}}
            path = self.dir / f"{name}.yaml"
            path.write_text(json.dumps(config))
            before = os.environ.copy()
            os.environ.update(self.environment)
            try:
                process = self.plane.spawn(name, BIN / "envicutor-operator", "--config", path)
            finally:
                os.environ.clear()
                os.environ.update(before)
        self.running[name] = process

    def alive(self):
        """Starts what has ended by itself (an operator that lost its lease, a server without disk); its names."""
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        for name in ended:
            self.run(name)
        for name, process in self.plane.processes:
            if name in ("kube-apiserver", "etcd") and process.poll() is not None:
                self.restart(name)
                ended.append(name)
        return ended

    def restart(self, name):
        at, process = next((i, p) for i, (n, p) in enumerate(self.plane.processes) if n == name)
        process.kill()
        process.wait()
        del self.plane.processes[at]
        self.plane.spawn(name, *process.args)
        self.plane.processes.insert(at, self.plane.processes.pop())

    def pids(self, part):
        if part == "executor":
            return executors_of(self.dir / "node")
        if part in self.running:
            return [self.running[part].pid]
        return [p.pid for n, p in self.plane.processes if n == part]

    def stop(self):
        if not self.plane:
            return
        for name, process in self.plane.processes:  # none is left stopped
            try:
                process.send_signal(signal.SIGCONT)
            except OSError:
                pass
        self.plane.own, own = False, self.plane.own
        self.plane.stop()
        for folder in self.disks.values():
            subprocess.run(["umount", "-l", folder], check=False)
        if self.proxy:
            self.proxy.stop()
        if own and not os.environ.get("ENVICUTOR_CHAOS_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
