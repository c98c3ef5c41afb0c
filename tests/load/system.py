"""A running Envicutor under load, and the generator: what measure.py and the tests share."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
CLONE_NEWNET = 0x40000000
# One start of the environment's bash and nothing else: what is left is Envicutor.
LOAD_RUNTIME = {
    "apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": "load"},
    "spec": {"description": "Does nothing, for load tests",
             "environment": {"packages": ["bash", "coreutils", "findutils", "gnugrep", "gnused"]},
             "sourceFile": "main.sh", "run": {"script": "true"}}}
DEBUG = "log:\n  level: debug\n"
# What a trivial submission is: a script that starts a shell, or a C program that is compiled already
# (the first compiles it), linked statically and started without a shell.
PROGRAMS = {
    "bash": (LOAD_RUNTIME, {"runtimeRef": {"name": "load"}, "source": ""}),
    "c": (yaml.safe_load((ROOT / "docs" / "examples" / "runtimes" / "tcc.yaml").read_text()),
          {"runtimeRef": {"name": "tcc"}, "source": "int main(void) { return 0; }\n"}),
}
SPEC = PROGRAMS["bash"][1]


def own_network():
    """Loopback only: addresses of pods (127.77.0.N) and ports are not in the way of others."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Up:
    """`envicutor up` with the executor on this host: no UML, and without pure cgroup v2 degraded."""

    def __init__(self, data=None, slots=None):
        self.made = data is None
        self.data = Path(data or tempfile.mkdtemp(prefix="envicutor-load-", dir="/var/tmp"))
        self.kubeconfig = str(self.data / "kubeconfig")
        self.slots = slots

    def fetch(self):
        """What needs the network: Debian's packages for the Runtimes."""
        fetch = BIN.parent / "share" / "envicutor" / "nixpkgs" / "fetch"
        if not fetch.exists():
            fetch = ROOT / "standalone" / "nixpkgs" / "fetch"
        (self.data / "store").mkdir(parents=True, exist_ok=True)
        subprocess.run([fetch, self.data / "store" / "nixpkgs"], check=True, timeout=300,
                       stdout=subprocess.DEVNULL)

    def start(self):
        slots = ["--slots", str(self.slots)] if self.slots else []
        subprocess.run([BIN / "envicutor", "up", "--data-dir", self.data, "--node", "host", "--sandbox", "native",
                        "--allow-degraded", "--detach", *slots], check=True, timeout=180,
                       stdout=subprocess.DEVNULL)
        self.supervisor = self.status()["supervisor"]

    def stop(self):
        subprocess.run([BIN / "envicutor", "down", "--data-dir", self.data], check=False, timeout=120,
                       stdout=subprocess.DEVNULL)
        if self.made:
            shutil.rmtree(self.data, ignore_errors=True)

    def status(self):
        record = json.loads((self.data / "run" / "up.json").read_text())
        pids = {child["name"]: child["pid"] for child in record["children"]}
        pids["supervisor"] = record["supervisor"]["pid"]
        return pids

    def log(self, name):
        return self.data / "logs" / f"{name}.log"

    def agent_log(self):
        """Of the executor that runs now: the one that was written last."""
        logs = (self.data / "node" / "logs").glob("*executor-default-*/agent.log")
        return max(logs, key=lambda path: path.stat().st_mtime, default=None)

    def kubectl(self, *args, stdin=None, timeout=300):
        done = subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *map(str, args)], input=stdin, text=True,
                              capture_output=True, timeout=timeout)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout

    def apply_runtime(self, runtime, timeout=300):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(runtime))
        self.kubectl("wait", "--for=condition=Ready", f"runtime/{runtime['metadata']['name']}",
                     f"--timeout={timeout}s", timeout=timeout + 30)

    def debug_log(self, on):
        """The operator with level debug, or as it was: its next start reads it."""
        config = self.data / "operator.yaml"
        text = config.read_text().replace(DEBUG, "")
        config.write_text(text + DEBUG if on else text)
        self.restart_operator()

    def restart_operator(self):
        """kill -9; the supervisor starts the next. Returns when it is there."""
        old = self.status()["operator"]
        os.kill(old, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while True:
            now = self.status().get("operator", old)
            if now != old:
                return
            if time.monotonic() > deadline:
                raise RuntimeError("the operator was not started again in 60 s")
            time.sleep(0.02)  # between looks at the supervisor's record

    def environment_hash(self, runtime="load"):
        return json.loads(self.kubectl("get", "runtime", runtime, "-o", "json"))["status"]["environment"]["hash"]


def load(command, *args, timeout=1200, program=()):
    """envicutor-load COMMAND: its report."""
    words = [BIN / "envicutor-load", command, "--output", "json", *map(str, args)]
    if program:
        words += ["--", *map(str, program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"envicutor-load {command}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)
