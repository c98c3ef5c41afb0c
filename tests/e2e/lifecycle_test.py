"""up, down and up again: data stays, nothing else does. Runs last: it stops the session's cluster."""

import json
import os
import subprocess

import pytest

from harness import BIN, of
from history import executors_of
from waiting import until


def machine_state():
    """What a run could leave behind: mounts, control groups, network devices and namespaces."""
    mounts = sorted(line.split()[4] for line in open("/proc/self/mountinfo"))
    links = sorted(os.listdir("/sys/class/net"))
    groups = sorted(os.path.join(d, s) for d, subs, _ in os.walk("/sys/fs/cgroup") for s in subs
                    if "envicutor" in s)
    netns = sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []
    return {"mounts": mounts, "links": links, "groups": groups, "netns": netns}


BEFORE = set(machine_state()["groups"])  # of others on this machine


def our_processes(cluster):
    """Processes whose command line names the session's data folder."""
    needle = str(cluster.data).encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = open(f"/proc/{pid}/cmdline", "rb").read()
        except OSError:
            continue
        if needle in line and int(pid) != os.getpid():
            found.append((int(pid), line[:120]))
    return found


def containers(cluster):
    """Container ids of the executors that are ready, by pod."""
    found = {}
    for pod in cluster.list("pods", "envicutor-executors", "app.kubernetes.io/component=executor"):
        for status in pod.get("status", {}).get("containerStatuses", []):
            if status["ready"]:
                found[pod["metadata"]["name"]] = status["containerID"]
    return found


def kill_supervisor(cluster):
    record = json.loads((cluster.data / "run" / "up.json").read_text())
    pids = [record["supervisor"]["pid"]] + [child["pid"] for child in record["children"]]
    cluster.kill9(pids[0])
    until(lambda: not any(alive(pid) for pid in pids), 20, "its parts end with it")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def test_killed_as_a_whole_its_executors_are_taken_over_or_ended(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to kill")
    before = until(lambda: containers(cluster), 60, "executors are ready")
    kill_supervisor(cluster)
    executors = executors_of(cluster.data / "node")
    assert len(executors) == len(before), "executors outlive it"
    cluster.up()
    assert cluster.run_one(of("bash", "echo on"))["status"]["verdict"] == "Accepted"
    until(lambda: containers(cluster) == before, 60, "the same containers are ready")
    kill_supervisor(cluster)
    cluster.down()
    assert not [pid for pid in executors if alive(pid)], "down ends them"
    cluster.up()


def test_down_leaves_only_data_and_up_continues(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to stop")
    kept = cluster.run_one(of("bash", "echo kept"))["metadata"]["name"]
    cluster.down()
    state = machine_state()
    assert not our_processes(cluster), our_processes(cluster)
    assert not list((cluster.data / "node").glob("pods/*/process.json")), "a container was left"
    assert not [m for m in state["mounts"] if str(cluster.data) in m], state["mounts"]
    assert not [n for n in state["links"] if "envi" in n or "tap" in n], state["links"]
    assert not set(state["groups"]) - BEFORE, set(state["groups"]) - BEFORE
    cluster.up()
    again = cluster.get("submission", kept)
    assert again["status"]["verdict"] == "Accepted"
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"


def test_up_twice_says_so(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to start")
    done = subprocess.run([BIN / "envicutor", "up", "--data-dir", cluster.data, "--detach"],
                          capture_output=True, text=True, timeout=120)
    assert "running" in (done.stdout + done.stderr).lower(), done
