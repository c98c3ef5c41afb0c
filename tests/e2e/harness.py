"""What the end-to-end tests share: a running Envicutor, kubectl, and comparing results with what a
program must give. Nothing here looks inside the system: it is used as a user would, through kubectl.

ENVICUTOR_BIN   folder of the binaries (default build/release/bin)
ENVICUTOR_E2E_SANDBOX  native or isolate (default: what envicutor up takes)
KUBECONFIG_E2E  run against this cluster instead of starting `envicutor up`
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
SANDBOX = os.environ.get("ENVICUTOR_E2E_SANDBOX", "auto")
RUNTIMES = ROOT / "docs" / "examples" / "runtimes"
TERMINAL = ("Completed", "Failed", "Cancelled")


class Cluster:
    """`envicutor up` on a data folder of its own, or the cluster of KUBECONFIG_E2E."""

    def __init__(self):
        self.given = os.environ.get("KUBECONFIG_E2E")
        self.data = None
        self.kubeconfig = self.given

    def start(self):
        if self.given:
            return
        self.data = Path(tempfile.mkdtemp(prefix="envicutor-e2e-", dir="/var/tmp"))
        cache = os.environ.get("ENVICUTOR_E2E_DATA")
        if cache:
            self.data.rmdir()
            self.data = Path(cache)
        self.kubeconfig = str(self.data / "kubeconfig")
        self.up()

    def up(self, *more):
        subprocess.run(
            [BIN / "envicutor", "up", "--data-dir", self.data, "--kubeconfig", self.kubeconfig,
             "--port", "0", "--detach", "--sandbox", SANDBOX, *more],
            check=True, timeout=300)

    def down(self):
        if not self.given:
            subprocess.run([BIN / "envicutor", "down", "--data-dir", self.data], check=True, timeout=120)

    def stop(self):
        if self.given:
            return
        self.down()
        keep = os.environ.get("ENVICUTOR_E2E_KEEP")
        if not keep and not os.environ.get("ENVICUTOR_E2E_DATA"):
            shutil.rmtree(self.data)

    # kubectl -------------------------------------------------------------------------------------

    def kubectl(self, *args, stdin=None, check=True, timeout=120):
        env = dict(os.environ, KUBECONFIG=self.kubeconfig)
        done = subprocess.run(["kubectl", *map(str, args)], input=stdin, env=env, timeout=timeout,
                              capture_output=True, text=True)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, args))}: {done.stderr.strip()}")
        return done

    def create(self, objects, check=True):
        body = "\n".join(map(json.dumps, objects))  # kubectl reads a stream of documents
        return self.kubectl("create", "-f", "-", stdin=body, check=check, timeout=300)

    def get(self, kind, name, namespace="default"):
        return json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json").stdout)

    def list(self, kind, namespace="default", selector=None):
        args = ["get", kind, "-n", namespace, "-o", "json"] + (["-l", selector] if selector else [])
        return json.loads(self.kubectl(*args).stdout)["items"]

    def delete_all(self, kind="submissions", namespace="default"):
        self.kubectl("delete", kind, "--all", "-n", namespace, "--wait=true", timeout=180)

    # submissions ---------------------------------------------------------------------------------

    def wait_finished(self, names, namespace="default", timeout=120):
        """The finished Submissions by name; fails with what the unfinished ones say."""
        wanted = set(names)
        deadline = time.monotonic() + timeout
        while True:
            found = {s["metadata"]["name"]: s for s in self.list("submissions", namespace)
                     if s["metadata"]["name"] in wanted}
            if len(found) == len(wanted) and all(
                    s.get("status", {}).get("phase") in TERMINAL for s in found.values()):
                return found
            if time.monotonic() > deadline:
                open_ = {n: found.get(n, {}).get("status", "no such submission") for n in wanted
                         if found.get(n, {}).get("status", {}).get("phase") not in TERMINAL}
                raise AssertionError(f"not finished in {timeout} s: {json.dumps(open_)[:2000]}")
            time.sleep(0.3)  # between polls of the API, as kubectl wait does

    def run(self, *specs, namespace="default", timeout=120, prefix="t"):
        """Creates Submissions at once and returns them, finished, in order."""
        names = [unique(prefix) for _ in specs]
        self.create([submission(n, s, namespace) for n, s in zip(names, specs)])
        done = self.wait_finished(names, namespace, timeout)
        return [done[n] for n in names]

    def run_one(self, spec, **kwargs):
        return self.run(spec, **kwargs)[0]

    def apply_runtime(self, runtime, timeout=300):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(runtime))
        self.wait_runtimes([runtime["metadata"]["name"]], timeout)

    def wait_runtimes(self, names, timeout=600):
        for name in names:
            self.kubectl("wait", "--for=condition=Ready", f"runtime/{name}", f"--timeout={timeout}s",
                         timeout=timeout + 30)

    def pids(self):
        """Process ids of the parts that `envicutor up` runs: {"operator": 12, ...}."""
        out = subprocess.run([BIN / "envicutor", "status", "--data-dir", self.data, "--output", "json"],
                             check=True, capture_output=True, text=True, timeout=60).stdout
        return json.loads(out)

    @staticmethod
    def kill9(pid):
        os.kill(pid, signal.SIGKILL)


_counter = 0


def unique(prefix):
    global _counter
    _counter += 1
    return f"{prefix}-{os.getpid()}-{_counter}"


def submission(name, spec, namespace="default"):
    return {"apiVersion": "envicutor.io/v1alpha1", "kind": "Submission",
            "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def of(runtime, source=None, **spec):
    out = {"runtimeRef": {"name": runtime}, **spec}
    if source is not None:
        out["source"] = source
    return out


def output(stage, stream="stdout"):
    """The bytes of a stage's stream."""
    text = (stage or {}).get(stream, "")
    if (stage or {}).get(stream + "Encoding") == "base64":
        return base64.b64decode(text)
    return text.encode()


def differences(expect, status):
    """What in a Submission's status is not as `expect` of programs.json says; [] when all is."""
    wrong = []
    stages = status.get("stages", {})
    run, compile_ = stages.get("run"), stages.get("compile")
    stdout, stderr = output(run), output(run, "stderr")
    compile_stderr = output(compile_, "stderr").decode(errors="replace")

    def need(ok, what):
        if not ok:
            wrong.append(what)

    def seconds(field):
        return (run or {}).get(field, -1) / 1000

    for key, want in expect.items():
        if key == "verdict":
            need(status.get("verdict") == want, f"verdict {status.get('verdict')}, not {want}")
        elif key == "verdict_any":
            need(status.get("verdict") in want, f"verdict {status.get('verdict')} not in {want}")
        elif key == "not_verdict":
            need(status.get("verdict") != want, f"verdict {want}")
        elif key == "any":
            each = [differences(one, status) for one in want]
            need(any(not d for d in each), f"none of: {each}")
        elif key == "exit_code":
            need((run or {}).get("exitCode") == want, f"exitCode {(run or {}).get('exitCode')}, not {want}")
        elif key == "exit_code_any":
            need((run or {}).get("exitCode") in want, f"exitCode {(run or {}).get('exitCode')} not in {want}")
        elif key == "exit_signal":
            need((run or {}).get("exitSignal") == want, f"exitSignal {(run or {}).get('exitSignal')}, not {want}")
        elif key == "compile_exit_code":
            need((compile_ or {}).get("exitCode") == want, f"compile exitCode {(compile_ or {}).get('exitCode')}")
        elif key in ("stdout", "stderr"):
            got = stdout if key == "stdout" else stderr
            need(got == want.encode(), f"{key} {got[:200]!r}, not {want[:200]!r}")
        elif key == "stdout_any":
            need(stdout.decode(errors="replace") in want, f"stdout {stdout[:200]!r} not in {want}")
        elif key.endswith("_not_contains"):
            text = compile_stderr if key.startswith("compile") else stderr.decode(errors="replace")
            need(want not in text, f"{key}: {want!r} is in {text[:300]!r}")
        elif key == "compile_stderr_contains":
            need(want in compile_stderr, f"compile stderr lacks {want!r}: {compile_stderr[:300]!r}")
        elif key in ("stdout_contains", "stderr_contains"):
            got = (stdout if key.startswith("stdout") else stderr).decode(errors="replace")
            need(want in got, f"{key}: {want!r} not in {got[:300]!r}")
        elif key == "stdout_regex":
            need(re.search(want, stdout.decode(errors="replace")), f"stdout {stdout[:200]!r} !~ {want}")
        elif key == "stdout_prefix":
            need(stdout.startswith(want.encode()), f"stdout starts {stdout[:80]!r}")
        elif key == "stdout_max":
            need(len(stdout) <= want, f"stdout has {len(stdout)} bytes, more than {want}")
        elif key == "stdout_len":
            need(len(stdout) == want, f"stdout has {len(stdout)} bytes, not {want}")
        elif key == "stdout_json":
            need(json.loads(stdout) == want, f"stdout {stdout[:200]!r}")
        elif key == "cpu_min":
            need(seconds("cpuTimeMillis") >= want, f"cpu {seconds('cpuTimeMillis')} < {want}")
        elif key == "cpu_max":
            need(seconds("cpuTimeMillis") <= want + 0.1, f"cpu {seconds('cpuTimeMillis')} > {want}")
        elif key == "wall_min":
            need(seconds("wallTimeMillis") >= want, f"wall {seconds('wallTimeMillis')} < {want}")
        elif key == "wall_max":
            need(seconds("wallTimeMillis") <= want + 0.1, f"wall {seconds('wallTimeMillis')} > {want}")
        elif key == "compile_wall_max":
            need((compile_ or {}).get("wallTimeMillis", 0) / 1000 <= want, "compile took longer")
        elif key == "memory_min_kb":
            need((run or {}).get("memoryBytes", 0) >= want * 1024, "memory below the minimum")
        elif key == "memory_max_kb":
            need((run or {}).get("memoryBytes", 0) <= want * 1024, "memory above the maximum")
        elif key == "run_is_null":
            need((run is None) == want, f"stages.run is {'absent' if run is None else 'there'}")
        elif key == "compile_is_null":
            need((compile_ is None) == want, f"stages.compile is {'absent' if compile_ is None else 'there'}")
        elif key == "valid_utf8_object":
            json.dumps(status).encode("utf-8")  # kubectl parsed it already: it is a valid object
        elif key in ("no_residue", "node_unchanged"):
            pass  # seen from outside only at the end: lifecycle_test and tests/conformance look at it
        else:
            wrong.append(f"the test does not know the expectation {key!r}")
    return wrong
