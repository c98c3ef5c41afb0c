"""A real control plane on loopback: Debian's etcd and the kube-apiserver of tests/tools, in a folder
that is removed with them. Ends only the processes it started.

  tests/real/control_plane.py DIR    starts one, prints its kubeconfig's path, stops at Ctrl-C
"""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1] / "tools" / "build"


class Unavailable(Exception):
    """Why there is no real control plane here; the tests say skipped with these words."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def openssl(*args, cwd):
    subprocess.run(["openssl", *args], cwd=cwd, check=True, capture_output=True)


class ControlPlane:
    def __init__(self, folder=None, audited=True):
        self.audited = audited
        self.own = folder is None
        self.dir = Path(folder or tempfile.mkdtemp(prefix="envicutor-real-", dir="/var/tmp"))
        self.dir.mkdir(parents=True, exist_ok=True)
        self.kubeconfig = str(self.dir / "kubeconfig")
        self.processes = []

    @staticmethod
    def programs():
        """etcd and kube-apiserver; the only part that may need the network. Unavailable."""
        etcd = shutil.which("etcd")
        if not etcd:
            raise Unavailable("no etcd (Debian's etcd-server)")
        built = subprocess.run([TOOLS], capture_output=True, text=True)
        if built.returncode != 0:
            raise Unavailable(built.stderr.strip().splitlines()[-1] if built.stderr else "tests/tools failed")
        return etcd, Path(built.stdout.strip()) / "kube-apiserver"

    def start(self):
        etcd, apiserver = self.programs()
        client, peer, self.port = free_port(), free_port(), free_port()
        self.spawn("etcd", etcd, "--data-dir", self.dir / "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", f"http://127.0.0.1:{client}",
                    "--advertise-client-urls", f"http://127.0.0.1:{client}",
                    "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                    "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                    "--initial-cluster", f"default=http://127.0.0.1:{peer}")
        openssl("genrsa", "-out", "sa.key", "2048", cwd=self.dir)
        # What service accounts ask for, and whether they may: tests of RBAC rules read it. Not while
        # something is measured: it costs requests of service accounts, and no others.
        self.audit = self.dir / "audit.log"
        (self.dir / "audit-policy.json").write_text(json.dumps({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]}))
        audit = ["--audit-policy-file", self.dir / "audit-policy.json", "--audit-log-path", self.audit]
        token = "envicutor-test-admin"
        (self.dir / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        self.spawn("kube-apiserver", apiserver, "--etcd-servers", f"http://127.0.0.1:{client}",
                    "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
                    "--secure-port", self.port, "--cert-dir", self.dir / "certs", "--allow-privileged",
                    "--token-auth-file", self.dir / "tokens.csv", "--authorization-mode", "RBAC",
                    "--service-account-key-file", self.dir / "sa.key",
                    "--service-account-signing-key-file", self.dir / "sa.key",
                    "--service-account-issuer", "https://envicutor.test",
                    "--service-cluster-ip-range", "10.0.0.0/24",
                    *(audit if self.audited else ()),
                    "--disable-admission-plugins", "ServiceAccount")
        Path(self.kubeconfig).write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": {"server": f"https://127.0.0.1:{self.port}",
                                                      "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": "admin"}}]}))
        self._wait_ready()
        return self

    @staticmethod
    def controller_manager():
        """The program; it may need the network once. Unavailable."""
        built = subprocess.run([TOOLS, "kube-controller-manager"], capture_output=True, text=True)
        if built.returncode != 0:
            raise Unavailable(built.stderr.strip().splitlines()[-1] if built.stderr else "tests/tools failed")
        return Path(built.stdout.strip()) / "kube-controller-manager"

    def start_controller_manager(self, program):
        """What collects garbage, empties namespaces that go, and keeps quotas."""
        return self.spawn("kube-controller-manager", program, "--kubeconfig", self.kubeconfig,
                          "--controllers", "garbage-collector-controller,namespace-controller,resourcequota-controller",
                          "--leader-elect=false", "--bind-address", "127.0.0.1", "--secure-port", free_port(),
                          "--cert-dir", self.dir / "controller-certs", "--kube-api-qps", "200",
                          "--kube-api-burst", "400")

    def spawn(self, name, *command):
        """A process that stop() ends; its output goes to NAME.log."""
        with open(self.dir / f"{name}.log", "ab") as log:
            process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, cwd=self.dir)
        self.processes.append((name, process))
        return process

    def check(self, *names):
        """RuntimeError with the end of its log when one of the processes, or of `names`, has ended."""
        for name, process in self.processes:
            if process.poll() is not None and (not names or name in names):
                end = (self.dir / f"{name}.log").read_text(errors="replace")[-800:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {end}")

    def _wait_ready(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            self.check("etcd", "kube-apiserver")
            try:
                with urllib.request.urlopen(f"https://127.0.0.1:{self.port}/readyz", context=context, timeout=2):
                    return
            except OSError:
                time.sleep(0.3)
        raise RuntimeError("kube-apiserver did not become ready in 90 s: " + str(self.dir))

    def restart_apiserver(self):
        """Kills it and starts it again; returns when it is ready."""
        at, process = next((i, p) for i, (name, p) in enumerate(self.processes) if name == "kube-apiserver")
        process.kill()
        process.wait()
        del self.processes[at]
        self.spawn("kube-apiserver", *process.args)
        self.processes.insert(at, self.processes.pop())  # it still ends after those that use it
        self._wait_ready()

    def end(self, process, patience=40):
        """Ends one as a service manager would; its exit status."""
        self.processes = [(name, p) for name, p in self.processes if p is not process]
        process.terminate()
        try:
            return process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop(self):
        for name, process in reversed(self.processes):
            # A kube-apiserver waits a minute for open requests; its data goes away with it.
            self.end(process, 5 if name == "kube-apiserver" else 40)
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)


def main():
    plane = ControlPlane(sys.argv[1] if len(sys.argv) > 1 else None)
    try:
        plane.start()
        print(plane.kubeconfig, flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        plane.stop()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
