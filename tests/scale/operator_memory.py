#!/usr/bin/python3
"""What the operator needs for many Submissions: memory, time to start, writes.

  tests/scale/operator_memory.py [--live N] [--finished N] [--limit-mib N]

The embedded API server is given its data as a file, so that this takes a minute and not an hour; the
operator runs without executors, so that the live ones wait. Prints one JSON object; exit status 1 when the
operator's resident memory is over the limit, or it lost sight of a submission. ENVICUTOR_BIN: folder of the
binaries. Numbers: docs/scaling.md.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
TOKEN = "scale"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, folder):
        self.dir, self.port, self.process = folder, free_port(), None
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", "tls.key", "-out", "tls.crt"], cwd=folder, check=True, capture_output=True)
        (folder / "tokens").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        (folder / "kubeconfig").write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{self.port}",
                                                   "certificate-authority": str(folder / "tls.crt")}}],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))

    def start(self):
        log = open(self.dir / "apiserver.log", "ab")
        self.process = subprocess.Popen(
            [BIN / "envicutor", "apiserver", "--data-dir", self.dir / "data", "--port", str(self.port),
             "--tls-cert-file", self.dir / "tls.crt", "--tls-private-key-file", self.dir / "tls.key",
             "--token-auth-file", self.dir / "tokens"], stdout=log, stderr=log)
        context = ssl.create_default_context(cafile=self.dir / "tls.crt")
        deadline = time.monotonic() + 300
        while True:
            try:
                urllib.request.urlopen(f"https://127.0.0.1:{self.port}/readyz", context=context, timeout=2).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the API server does not start:\n" + (self.dir / "apiserver.log").read_text()[-2000:])
                time.sleep(0.2)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def kubectl(self, *args, stdin=None):
        return subprocess.run(["kubectl", "--kubeconfig", self.dir / "kubeconfig", *map(str, args)], input=stdin,
                              check=True, capture_output=True, text=True).stdout


def result(source):
    """A status as the operator writes it."""
    stage = {"exitStatus": "OK", "exitCode": 0, "stdout": "x" * 500 + "\n", "stderr": "", "stdoutBytes": 501,
             "stderrBytes": 0, "cpuTimeMillis": 31, "wallTimeMillis": 40, "memoryBytes": 9 << 20}
    now = "2026-01-01T00:00:00Z"
    conditions = [{"type": t, "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": now,
                   "observedGeneration": 1} for t in ("Admitted", "Finished", "Succeeded")]
    return {"phase": "Completed", "verdict": "Accepted", "message": "exit code 0", "conditions": conditions,
            "stages": {"compile": stage, "run": stage}, "attempt": 1, "executor": {"pod": "executor-default-0", "node": "n"},
            "startTime": now, "completionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "queueMillis": 3,
            "overheadMillis": 9}


def fill(server, live, finished):
    """Writes copies of one submission into the stopped server's file."""
    source = "print('hello')\n" * 40
    server.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "envicutor.io/v1alpha1", "kind": "Submission", "metadata": {"name": "seed", "namespace": "default"},
        "spec": {"runtimeRef": {"name": "python3"}, "source": source, "ttlSecondsAfterFinished": 86400}}))
    server.stop()
    database = sqlite3.connect(server.dir / "data" / "apiserver.db")
    resource, key, text = database.execute(
        "SELECT resource, key, text FROM objects WHERE key LIKE '%seed' AND resource LIKE '%submissions%'").fetchone()
    seed = json.loads(text)
    revision = database.execute("SELECT MAX(revision) FROM resources").fetchone()[0]

    def rows():
        for i in range(live + finished):
            made = dict(seed, metadata=dict(seed["metadata"], name=f"s-{i}", uid=str(uuid.UUID(int=i + (1 << 100))),
                                            resourceVersion=str(revision + 1 + i)))
            if i >= live:
                made["status"] = result(source)
            yield resource, key[:-len("seed")] + f"s-{i}", revision + 1 + i, json.dumps(made)

    database.executemany("INSERT INTO objects (resource, key, revision, text) VALUES (?, ?, ?, ?)", rows())
    database.execute("UPDATE resources SET revision = ? WHERE resource = ?", (revision + live + finished + 1, resource))
    database.commit()
    database.close()


def memory(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return {name: int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) // 1024 for name in ("VmRSS", "VmHWM")}


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {m.group(1): float(m.group(2)) for m in re.finditer(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.M)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, default=10_000)
    parser.add_argument("--finished", type=int, default=100_000)
    parser.add_argument("--limit-mib", type=int, default=200)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="envicutor-scale-", dir="/var/tmp"))
    server, operator = Server(folder), None
    try:
        server.start()
        server.kubectl("apply", "-f", ROOT / "crds")
        server.kubectl("wait", "--for=condition=Established", "-f", ROOT / "crds", "--timeout=30s")
        for name in ("envicutor-system", "envicutor-executors"):
            server.kubectl("apply", "-f", "-", stdin=json.dumps(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))
        server.kubectl("apply", "-f", "-", stdin=json.dumps({
            "apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3"},
            "spec": {"environment": {"packages": ["python3"]}, "sourceFile": "main.py", "run": {"script": "python3 main.py"}}}))
        # It serves, as after a build that took place.
        server.kubectl("patch", "runtime", "python3", "--subresource=status", "--type=merge", "-p", json.dumps({"status": {
            "phase": "Ready", "environment": {"hash": "0" * 32, "storePath": "/nix/store/" + "0" * 32 + "-env"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1,
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}))
        fill(server, args.live, args.finished)
        server.start()
        ports = free_port(), free_port()
        config = folder / "operator.yaml"
        config.write_text(json.dumps({
            "kubeconfig": str(folder / "kubeconfig"), "leaderElection": {"enabled": False},
            "executorTls": {"caFile": str(folder / "tls.crt"), "certFile": str(folder / "tls.crt"),
                            "keyFile": str(folder / "tls.key")},
            "listen": {"probes": f"127.0.0.1:{ports[0]}", "metrics": f"127.0.0.1:{ports[1]}"}}))
        log = folder / "operator.log"
        begin = time.monotonic()
        operator = subprocess.Popen([BIN / "envicutor-operator", "--config", config], stdout=log.open("wb"),
                                    stderr=subprocess.STDOUT)
        filled = None
        while filled is None:
            if operator.poll() is not None or time.monotonic() - begin > 1800:
                raise SystemExit("the operator does not start:\n" + log.read_text()[-2000:])
            filled = next((json.loads(l) for l in log.read_text().splitlines() if "the caches are filled" in l), None)
            time.sleep(0.1)
        started = time.monotonic() - begin
        # Until every live one has been looked at: it waits in the queue, or for its Runtime.
        deadline = time.monotonic() + 300
        while metrics(ports[1]).get('workqueue_depth{name="submission"}', 0) > 0 and time.monotonic() < deadline:
            time.sleep(1)
        seen = metrics(ports[1])
        memory_now = memory(operator.pid)
        phases = {p: int(seen.get(f'envicutor_submissions{{phase="{p}"}}', 0)) for p in ("Pending", "Running", "Completed")}
        writes = sum(v for k, v in seen.items() if k.startswith("rest_client_requests_total") and 'method="GET"' not in k)
        report = {"live": args.live, "finished": args.finished, "residentMiB": memory_now["VmRSS"],
                  "peakMiB": memory_now["VmHWM"], "startSeconds": round(started, 1), "cacheMillis": int(filled["millis"]),
                  "phases": phases, "apiWrites": int(writes)}
        print(json.dumps(report))
        lost = phases["Completed"] != args.finished or phases["Pending"] != args.live + 1  # and the seed
        return 1 if lost or memory_now["VmRSS"] > args.limit_mib else 0
    finally:
        if operator and operator.poll() is None:
            operator.send_signal(signal.SIGTERM)
            operator.wait(60)
        server.stop()
        if not os.environ.get("ENVICUTOR_SCALE_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
