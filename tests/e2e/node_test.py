"""What the local node itself costs."""

import os
import time

import pytest

from harness import unique

EXECUTORS = "envicutor-executors"


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_pod_that_has_ended_costs_nothing(cluster):
    if cluster.given:
        pytest.skip("a given cluster's node is not ours to measure")
    name = unique("ended")
    node = cluster.get("pod", "executor-default-0", EXECUTORS)["spec"]["nodeName"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": EXECUTORS},
           "spec": {"nodeName": node, "restartPolicy": "Never",
                    "containers": [{"name": "it", "image": "none", "command": ["envicutor-builder", "--version"]}]}}
    cluster.create([pod])
    cluster.kubectl("wait", "-n", EXECUTORS, f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
    pid = next(p["pid"] for p in cluster.pids()["processes"] if p["name"] == "node")
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(2)  # the time over which the CPU time is counted
    used, elapsed = cpu_seconds(pid) - before, time.monotonic() - began
    cluster.kubectl("delete", "-n", EXECUTORS, f"pod/{name}", "--wait=false")
    # A worker that spins takes as much CPU as it gets; probes and heartbeats take hundredths.
    assert used < elapsed / 4, f"{used} s of CPU in {elapsed:.1f} s"
