"""What tests/load/run.sh runs. Every figure is printed beside a baseline of the same run: on a machine
that others use too, only ratios say anything."""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ratios import ratios
from real import RealUp, Unavailable
from system import BIN, PROGRAMS, ROOT, Up, load, own_network

PARTS = ("spawn", "bare", "low", "high", "against", "open", "contest", "agent", "restart", "memory")
EMBEDDED_ONLY = ("agent", "restart")  # they read the supervisor's files and the embedded server's counters
AGENT_PORT = 8443
ROUNDS = 5  # of a comparison; its figures are medians


class Measure:
    def __init__(self, scale, parts, api, program):
        self.scale = scale
        self.parts = parts
        self.figures = {"api": api, "program": program}
        self.runtime, self.spec = PROGRAMS[program]
        # Two a CPU: while one's result is on its way to the API server, the other computes.
        slots = 2 * max(1, os.cpu_count())
        self.up = RealUp(slots) if api == "real" else Up(os.environ.get("ENVICUTOR_LOAD_DATA"), slots=slots)

    def n(self, count):
        return max(20, int(count * self.scale))

    def submissions(self, count, *flags, **options):
        return load("submissions", "--kubeconfig", self.up.kubeconfig, "--count", count, "--spec", json.dumps(self.spec),
                    "--process-tree", self.up.status()["supervisor"], *flags, **options)

    def run(self):
        self.up.apply_runtime(self.runtime)
        for part in self.parts:
            print(f"== {part}", file=sys.stderr, flush=True)
            self.figures[part] = getattr(self, part)()

    # The floor ------------------------------------------------------------------------------------

    def spawn(self):
        out = {"posixSpawn": load("spawn", "--count", self.n(2000), "--concurrency", 2,
                                  program=[self.environment_bash(), "-c", "true"])}
        isolate = os.environ.get("ISOLATE")
        if isolate:
            script = f"{isolate} -b 0 --init >/dev/null && {isolate} -b 0 --run -- /bin/true 2>/dev/null; " \
                     f"{isolate} -b 0 --cleanup"
            try:
                out["isolate"] = load("spawn", "--count", self.n(200), "--concurrency", 1,
                                      program=["/bin/sh", "-c", script])
            except RuntimeError as error:
                out["isolate"] = {"skipped": str(error)}
        return out

    def environment_bash(self):
        """The one that submissions run: it is linked statically, and starts faster than this machine's."""
        for found in sorted(self.up.data.rglob("*-bash-*/bin/bash")):
            return found
        raise RuntimeError(f"no bash of an environment below {self.up.data}")

    def bare(self):
        """A plain client against the same API server while the operator stands still: it watches, so that the
        server's work for watches is in, but it writes nothing."""
        status = self.status_like()
        with self.operator_still():
            return {f"connections{connections}": self.pairs(status, connections, self.n(count))
                    for connections, count in ((1, 300), (16, 3000))}

    def pairs(self, status, connections, count):
        return load("bare", "--kubeconfig", self.up.kubeconfig, "--count", count, "--concurrency", connections,
                    "--spec", json.dumps(self.spec), "--status", json.dumps(status),
                    "--process-tree", self.up.status()["supervisor"])

    @contextlib.contextmanager
    def operator_still(self):
        """Ends when the operator has caught up with what it was told meanwhile."""
        operator = self.up.status()["operator"]
        os.kill(operator, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(operator, signal.SIGCONT)
        deadline = time.monotonic() + 60
        while True:
            before = cpu_seconds(operator)
            time.sleep(0.5)  # between looks at its CPU time
            if cpu_seconds(operator) - before < 0.03:
                return
            if time.monotonic() > deadline:
                print("the operator is still busy with the baseline's objects after 60 s: what follows may be low",
                      file=sys.stderr, flush=True)
                return

    def status_like(self):
        """The status of a real one, so that the baseline writes as much."""
        name = f"status-like-{os.getpid()}"
        self.submissions(1)  # compiles it, when there is something to compile
        self.up.kubectl("create", "-f", "-", stdin=json.dumps(
            {"apiVersion": "envicutor.io/v1alpha1", "kind": "Submission",
             "metadata": {"name": name, "namespace": "default"}, "spec": self.spec}))
        self.up.kubectl("wait", "--for=condition=Finished", f"submission/{name}", "--timeout=60s")
        status = json.loads(self.up.kubectl("get", "submission", name, "-o", "json"))["status"]
        self.up.kubectl("delete", "submission", name)
        return status

    # The whole way --------------------------------------------------------------------------------

    def low(self):
        self.submissions(50, "--concurrency", 1)  # warm
        out = self.submissions(self.n(300), "--concurrency", 1)
        # The steps' times are from a debug log: not while the whole is measured.
        self.up.debug_log(True)
        self.submissions(50, "--concurrency", 1)  # warm
        out["steps"] = self.submissions(self.n(100), "--concurrency", 1, "--operator-log", self.up.log("operator"),
                                        *self.agent_log())
        self.up.debug_log(False)
        return out

    def agent_log(self):
        log = self.up.agent_log()
        return ("--agent-log", log) if log else ()

    def high(self):
        return self.submissions(self.n(5000), "--concurrency", 32)

    def against(self):
        """What bare does and high does, by turns and with as many objects: the machine's speed changes within
        minutes, and a server's with its heap."""
        status = self.status_like()
        out = {"rounds": []}
        for _ in range(ROUNDS):
            with self.operator_still():
                bare = self.pairs(status, 16, self.n(2000))
            whole = self.submissions(self.n(2000), "--concurrency", 32)
            out["rounds"].append({"pairs": bare, "submissions": whole, "ratio": round(
                whole["submissionsPerSecond"] / bare["pairsPerSecond"], 3)})
        for name, values in (("ratio", [r["ratio"] for r in out["rounds"]]),
                             ("pairsPerSecond", [r["pairs"]["pairsPerSecond"] for r in out["rounds"]]),
                             ("submissionsPerSecond", [r["submissions"]["submissionsPerSecond"] for r in out["rounds"]])):
            out[name] = statistics.median(values)
        return out

    def open(self):
        """70 % of what the closed loop reached just before, by turns: a rate of another minute may be 60 % of
        what the machine can do, or 100 %."""
        out = {"rounds": []}
        for _ in range(ROUNDS):
            rate = 0.7 * self.submissions(self.n(2000), "--concurrency", 32)["submissionsPerSecond"]
            one = self.submissions(int(max(50, rate * 8 * self.scale)), "--concurrency", 64, "--rate", f"{rate:.1f}")
            millis = one["createToFinishedMillis"]
            one["ratio"] = round(millis["p99"] / millis["p50"], 2)
            one["busyPercent"] = round(one["submissionsPerSecond"] * one["cpuMillisPerSubmission"] / 10 / os.cpu_count())
            out["rounds"].append(one)
        for name, values in (("ratio", [r["ratio"] for r in out["rounds"]]),
                             ("p50", [r["createToFinishedMillis"]["p50"] for r in out["rounds"]]),
                             ("p99", [r["createToFinishedMillis"]["p99"] for r in out["rounds"]]),
                             ("busyPercent", [r["busyPercent"] for r in out["rounds"]])):
            out[name] = statistics.median(values)
        return out

    def contest(self):
        """One Submission, 100 tests of a small C++ program. Twice: the second finds it compiled."""
        runtime = (ROOT / "docs" / "examples" / "runtimes" / "cpp.yaml").read_text()
        self.up.kubectl("apply", "-f", "-", stdin=runtime)
        self.up.kubectl("wait", "--for=condition=Ready", "runtime/cpp", "--timeout=300s", timeout=330)
        spec = {"runtimeRef": {"name": "cpp"}, "source": CONTEST_PROGRAM,
                "tests": [{"name": f"t{i}", "stdin": f"{i}\n", "expectedStdout": f"{i + 1}\n"} for i in range(100)]}
        out = {}
        for which in ("compiling", "compiled"):
            report = load("submissions", "--kubeconfig", self.up.kubeconfig, "--count", 1 if which == "compiling" else 5,
                          "--concurrency", 1, "--spec", json.dumps(spec))
            out[which] = {"seconds": report["createToFinishedMillis"]["p50"] / 1000, "verdicts": report["verdicts"]}
        return out

    # The agent alone ------------------------------------------------------------------------------

    def agent(self):
        pki = self.up.data / "pki"
        pod = json.loads(self.up.kubectl("get", "pods", "-n", "envicutor-executors", "-l",
                                         "app.kubernetes.io/component=executor", "-o", "json"))["items"][0]
        node = self.up.status()["node"]
        out = {}
        with self.operator_still():  # it would take the results
            for connections, count in ((1, 500), (2, 2000)):
                out[f"envicutor{connections}"] = load(
                    "agent", "--url", f"https://{pod['status']['podIP']}:{AGENT_PORT}", "--ca",
                    pki / "executor-ca.crt", "--cert", pki / "operator-client.crt", "--key",
                    pki / "operator-client.key", "--environment", self.up.environment_hash(), "--count",
                    self.n(count), "--concurrency", connections, "--process-tree", node)
                if os.environ.get("GO_JUDGE"):
                    out[f"goJudge{connections}"] = self.go_judge(connections, self.n(count))
        return out

    def go_judge(self, connections, count):
        work = tempfile.mkdtemp(prefix="go-judge-")
        with open(f"{work}/log", "w", encoding="utf-8") as log:
            # Its programs see this machine's /bin: there, and only for it, the environment's bash stands.
            judge = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                 'mount --bind "$0" "$(readlink -f /bin/bash)" && exec "$@"', self.environment_bash(),
                 os.environ["GO_JUDGE"], "-http-addr", "127.0.0.1:5050", "-parallelism", str(max(2, os.cpu_count())),
                 "-dir", work, "-pre-fork", "2", "-release"], cwd=work, stdout=log, stderr=log)
        try:
            self.wait_port(5050)
            return load("go-judge", "--url", "http://127.0.0.1:5050", "--count", count, "--concurrency", connections,
                        "--args", json.dumps(["/bin/bash", "-c", "true"]), "--process-tree", judge.pid)
        except RuntimeError as error:
            return {"skipped": f"{error}: {Path(work, 'log').read_text()[-500:]}"}
        finally:
            judge.terminate()
            judge.wait(timeout=30)
            shutil.rmtree(work, ignore_errors=True)

    @staticmethod
    def wait_port(port):
        import socket
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing listens on port {port}") from None
                time.sleep(0.05)  # between tries to connect

    # Restart and memory ---------------------------------------------------------------------------

    def restart(self):
        """10,000 wait while the operator is away; from its start to its first dispatch, by its own log."""
        count = self.n(10_000)
        self.created()  # what there was before
        operator = self.up.status()["operator"]
        os.kill(operator, signal.SIGSTOP)
        waiting = subprocess.Popen(
            [BIN / "envicutor-load", "submissions", "--kubeconfig", self.up.kubeconfig, "--count", str(count),
             "--rate", "100000", "--concurrency", "16", "--spec", json.dumps(self.spec), "--output", "json",
             "--timeout", "600"], stdout=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        while self.created() < count:
            if time.monotonic() > deadline:
                waiting.kill()
                raise RuntimeError(f"{self.created()} of {count} were created in 300 s")
            time.sleep(0.2)  # between looks at the server's counters
        began = time.time()
        self.up.debug_log(True)  # kill -9 and the next, which logs each dispatch
        report = json.loads(waiting.communicate(timeout=600)[0])
        times = {}
        path = self.up.log("operator")
        for part in (path.with_name(path.name + ".1"), path):  # it may have been rotated meanwhile
            for line in part.read_text(errors="replace").splitlines() if part.exists() else ():
                for what in ("operator starts", "submission dispatched"):
                    if f'"msg":"{what}"' in line and seconds_of(line) >= began:
                        times.setdefault(what, seconds_of(line))
        return {"queued": count, "startToFirstDispatchSeconds": round(
            times["submission dispatched"] - times["operator starts"], 3), "verdicts": report["verdicts"]}

    def created(self):
        now = self.up.kubectl("get", "--raw", "/metrics")
        total = re.findall(r'verb="POST",resource="submissions",code="201"} (\d+)', now)
        before = self.figures.setdefault("_created", int(total[0]) if total else 0)
        return int(total[0]) - before if total else 0

    def memory(self):
        """Finished ones are deleted by their time to live, as in a system that runs for long."""
        return self.submissions(self.n(100_000), "--concurrency", 32, "--ttl", 10, "--timeout", 3000, timeout=3600)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of(line):
    import datetime
    return datetime.datetime.fromisoformat(json.loads(line)["time"].replace("Z", "+00:00")).timestamp()


CONTEST_PROGRAM = """#include <cstdio>
int main() {
  long n = 0;
  if (std::scanf("%ld", &n) != 1) return 1;
  volatile long x = 0;
  for (long i = 0; i < 500000; ++i) x = x + i;
  std::printf("%ld\\n", n + 1);
}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1, help="this much of the load, from 0 to 1 (default 1)")
    parser.add_argument("--quick", action="store_const", const=0.2, dest="scale", help="a fifth of the load")
    parser.add_argument("--parts", default="spawn,bare,low,high,open,contest,agent,restart")
    parser.add_argument("--api", choices=("embedded", "real"), default="embedded",
                        help="the API server of `envicutor up`, or a kube-apiserver with etcd as in tests/real")
    parser.add_argument("--program", choices=sorted(PROGRAMS), default="bash",
                        help="what each submission runs: a shell, or a static C program, compiled already")
    parser.add_argument("--json", help="the whole report, to this file")
    args = parser.parse_args()
    parts = args.parts.split(",")
    for part in parts:
        if part not in PARTS:
            parser.error(f"--parts: \"{part}\" is not one of {', '.join(PARTS)}")
        if args.api == "real" and part in EMBEDDED_ONLY:
            parser.error(f"--parts: \"{part}\" needs --api embedded")
    if not 0 <= args.scale <= 1:
        parser.error(f"--scale: {args.scale} is not from 0 to 1")
    measure = Measure(args.scale, parts, args.api, args.program)
    try:
        measure.up.fetch()
    except Unavailable as why:
        print(f"skipped: {why}", file=sys.stderr)
        return 75
    own_network()
    try:
        measure.up.start()
        measure.run()
    finally:
        measure.up.stop()
    print("Every figure is of an executor on this host with --allow-degraded: the sandbox is whole but for\n"
          "control groups, which this machine may not delegate. Where it can, run it without that flag.\n")
    for what, value, base, ratio, reach in ratios(measure.figures):
        print(f"{what}\n    {value} against {base}: {ratio}   (reach: {reach})")
    if args.json:
        Path(args.json).write_text(json.dumps(measure.figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
