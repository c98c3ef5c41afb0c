"""kill -9 of each part in the middle of 200 submissions: every one ends with exactly one right result."""

import json
import time

import pytest

from harness import differences, of, submission, unique
from history import History, executors_of

COUNT = 200


def victims(cluster, part):
    """Process ids of a part of `envicutor up`; an executor is its machine, or its agent on the host."""
    processes = {p["name"]: p["pid"] for p in cluster.pids()["processes"]}
    if part != "executor":
        return [processes[part]]
    return executors_of(cluster.data / "node")


@pytest.mark.parametrize("part", ["operator", "apiserver", "executor", "node"])
def test_kill_9_amid_submissions(cluster, part):
    if cluster.given:
        pytest.skip("a given cluster's processes are not ours to kill")
    marks = {unique(f"chaos-{part}"): i for i in range(COUNT)}
    specs = {n: of("bash", f"echo {i}; sleep 0.0{i % 5}; exit {i % 3}") for n, i in marks.items()}
    with History(cluster.kubeconfig) as history:
        items = list(specs.items())
        half = COUNT // 2
        cluster.create([submission(n, s) for n, s in items[:half]])
        pids = victims(cluster, part)
        assert pids, f"envicutor status shows no process of {part}: {json.dumps(cluster.pids())[:1500]}"
        executors = victims(cluster, "executor")
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
        seen = history.wrong(marks)
    wrong = []
    for name, i in marks.items():
        code = i % 3
        expect = {"exit_code": code, "stdout": f"{i}\n", "verdict": "Accepted" if code == 0 else "RuntimeError"}
        wrong += [f"{name}: {d}" for d in differences(expect, finished[name]["status"])]
    wrong += seen
    if part == "node":  # executors outlive it, and the next one takes them over
        wrong += [f"{name}: attempt {attempt}" for name, attempt in history.attempts(marks).items()]
        wrong += [f"executor {pid} was ended with its node" for pid in executors if pid not in victims(cluster, "executor")]
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
