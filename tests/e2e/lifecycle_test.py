"""up, down and up again: data stays, nothing else does. Runs last: it stops the session's cluster."""

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from harness import BIN, Cluster, of
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


def addresses(cluster):
    return {pod["status"]["podIP"]
            for pod in cluster.list("pods", "envicutor-executors", "app.kubernetes.io/component=executor")}


def test_two_of_them_run_beside_each_other(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to have a neighbour")
    before = until(lambda: containers(cluster), 60, "executors are ready")
    second = Cluster()
    second.data = Path(tempfile.mkdtemp(prefix="envicutor-e2e-second-", dir="/var/tmp"))
    second.kubeconfig = str(second.data / "kubeconfig")
    # What is downloaded at a first start is there already.
    (second.data / "store").mkdir()
    (second.data / "store" / "nixpkgs").symlink_to(cluster.data / "store" / "nixpkgs")
    try:
        second.up("--slots", "1")
        assert containers(second), "its executors are ready"
        assert not addresses(cluster) & addresses(second), addresses(second)
        # Its operator has reached them: with certificates of its own, so they are its own.
        second.kubectl("wait", "--for=condition=Ready", "executorpool/default", "--timeout=30s")
    finally:
        second.down()
        shutil.rmtree(second.data)
    assert containers(cluster) == before, "the first one's were left alone"
    assert cluster.run_one(of("bash", "echo alone"))["status"]["verdict"] == "Accepted"


def read_until(pipe, text, seconds):
    """What comes out of the pipe up to `text`."""
    got, deadline = "", time.monotonic() + seconds
    while text not in got:
        ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
        chunk = os.read(pipe.fileno(), 65536).decode() if ready else ""
        assert chunk, f"no {text!r} in {seconds} s: {got}"
        got += chunk
    return got


def test_up_names_a_port_that_no_address_has_free(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to stop")
    cluster.down()
    with socket.socket() as everywhere:
        everywhere.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        everywhere.bind(("0.0.0.0", 8081))
        everywhere.listen()
        up = subprocess.Popen([BIN / "envicutor", "up", "--data-dir", cluster.data, "--detach"], stdout=subprocess.PIPE)
        said = read_until(up.stdout, "of all addresses\n", 60)
    assert "no pod address" in said and "port 8081 of 127.77.0." in said and "ss -ltnp" in said, said
    read_until(up.stdout, "Envicutor is ready", 60)
    assert up.wait(60) == 0


def test_up_twice_says_so(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to start")
    done = subprocess.run([BIN / "envicutor", "up", "--data-dir", cluster.data, "--detach"],
                          capture_output=True, text=True, timeout=120)
    assert "running" in (done.stdout + done.stderr).lower(), done
