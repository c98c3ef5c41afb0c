"""kill -9 of each part in the middle of 200 submissions: every one ends with exactly one right result."""

import json
import os
import subprocess
import threading
import time

import pytest

from harness import differences, of, submission, unique

COUNT = 200


class History:
    """Every version of every submission that a watch showed, restarted where it broke off."""

    def __init__(self, cluster):
        self.terminal = {}
        self._cluster, self._stop = cluster, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._process = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._process:
            self._process.terminate()
        self._thread.join(30)

    def _watch(self):
        env = dict(os.environ, KUBECONFIG=self._cluster.kubeconfig)
        while not self._stop.is_set():
            self._process = subprocess.Popen(
                ["kubectl", "get", "submissions", "--watch", "-o",
                 'jsonpath={.metadata.name} {.status.phase} {.status.verdict} {.status.completionTime}{"\\n"}'],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self._process.stdout:
                name, *rest = line.split()
                if rest and rest[0] in ("Completed", "Failed", "Cancelled"):
                    self.terminal.setdefault(name, set()).add(tuple(rest))
            self._process.wait()
            self._stop.wait(0.3)


def children_of(pid):
    """Process ids of all descendants."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = open(f"/proc/{entry}/stat").read()
        except OSError:
            continue
        parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    out, queue = [], [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            out.append(child)
            queue.append(child)
    return out


def victims(cluster, part):
    """Process ids of a part of `envicutor up`; an executor is its machine, or its agent on the host."""
    processes = {p["name"]: p["pid"] for p in cluster.pids()["processes"]}
    if part != "executor":
        return [processes[part]]
    names = ("linux.uml", "envicutor-execu")
    return [pid for pid in children_of(processes["node"])
            if open(f"/proc/{pid}/comm").read().strip() in names]


@pytest.mark.parametrize("part", ["operator", "apiserver", "executor", "node"])
def test_kill_9_amid_submissions(cluster, part):
    if cluster.given:
        pytest.skip("a given cluster's processes are not ours to kill")
    marks = {unique(f"chaos-{part}"): i for i in range(COUNT)}
    specs = {n: of("bash", f"echo {i}; sleep 0.0{i % 5}; exit {i % 3}") for n, i in marks.items()}
    with History(cluster) as history:
        items = list(specs.items())
        half = COUNT // 2
        cluster.create([submission(n, s) for n, s in items[:half]])
        pids = victims(cluster, part)
        assert pids, f"envicutor status shows no process of {part}: {json.dumps(cluster.pids())[:1500]}"
        cluster.kill9(pids[0])
        deadline = time.monotonic() + 60
        while True:  # the API server may be the one that is gone
            done = cluster.create([submission(n, s) for n, s in items[half:]], check=False)
            missing = [n for n, _ in items[half:]]
            if done.returncode == 0:
                break
            listed = cluster.kubectl("get", "submissions", "-o", "name", check=False)
            if listed.returncode == 0:
                there = {line.split("/")[-1] for line in listed.stdout.split()}
                missing = [n for n in missing if n not in there]
                items = items[:half] + [(n, s) for n, s in items[half:] if n in missing]
                if not missing:
                    break
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.5)
        finished = wait_all(cluster, list(marks))
    wrong = []
    for name, i in marks.items():
        code = i % 3
        expect = {"exit_code": code, "stdout": f"{i}\n", "verdict": "Accepted" if code == 0 else "RuntimeError"}
        wrong += [f"{name}: {d}" for d in differences(expect, finished[name]["status"])]
        results = history.terminal.get(name, set())
        if len(results) > 1:
            wrong.append(f"{name}: more than one result was seen: {results}")
    assert not wrong, wrong[:10]
    cluster.delete_all()


def wait_all(cluster, names, timeout=240):
    """wait_finished that forgives an API server that is just being restarted."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return cluster.wait_finished(names, timeout=max(1, deadline - time.monotonic()))
        except (AssertionError, ValueError) as error:
            if time.monotonic() > deadline or "not finished" in str(error):
                raise
            time.sleep(0.5)
