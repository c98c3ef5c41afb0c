"""up, down and up again: data stays, nothing else does. Runs last: it stops the session's cluster."""

import os
import subprocess

import pytest

from harness import BIN, of


def machine_state():
    """What a run could leave behind: mounts, control groups, network devices and namespaces."""
    mounts = sorted(line.split()[4] for line in open("/proc/self/mountinfo"))
    links = sorted(os.listdir("/sys/class/net"))
    groups = sorted(os.path.join(d, s) for d, subs, _ in os.walk("/sys/fs/cgroup") for s in subs
                    if "envicutor" in s)
    netns = sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []
    return {"mounts": mounts, "links": links, "groups": groups, "netns": netns}


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


def test_down_leaves_only_data_and_up_continues(cluster):
    if cluster.given:
        pytest.skip("a given cluster is not ours to stop")
    kept = cluster.run_one(of("bash", "echo kept"))["metadata"]["name"]
    cluster.down()
    state = machine_state()
    assert not our_processes(cluster), our_processes(cluster)
    assert not [m for m in state["mounts"] if str(cluster.data) in m], state["mounts"]
    assert not [n for n in state["links"] if "envi" in n or "tap" in n], state["links"]
    assert not state["groups"], state["groups"]
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
