"""ExecutorPools: what happens to an executor is in conditions and events within seconds, and made good."""

import json

import pytest

from harness import of, unique
from waiting import until

EXECUTORS = "envicutor-executors"


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


def pods(cluster, pool):
    return {p["metadata"]["name"]: p["metadata"]["uid"]
            for p in cluster.list("pods", EXECUTORS, f"envicutor.io/pool={pool}")
            if "deletionTimestamp" not in p["metadata"]}


def ready(cluster, pool):
    conditions = cluster.get("executorpool", pool).get("status", {}).get("conditions", [])
    return next(({"status": c["status"], "message": c["message"]} for c in conditions if c["type"] == "Ready"), {})


def told(cluster, pool, reason):
    return [e["message"] for e in cluster.list("events", "default")
            if (e["involvedObject"]["name"], e["reason"]) == (pool, reason)]


def test_kubectl_scale(real, cluster):
    cluster.kubectl("patch", "executorpool", "default", "--type=merge",
                    "-p", json.dumps({"spec": {"maxReplicas": real.executors + 1}}))
    cluster.kubectl("scale", "executorpool/default", f"--replicas={real.executors + 1}")
    until(lambda: len(pods(cluster, "default")) == real.executors + 1, 10, "one more executor")
    cluster.kubectl("scale", "executorpool/default", f"--replicas={real.executors}")
    cluster.kubectl("patch", "executorpool", "default", "--type=merge",
                    "-p", json.dumps({"spec": {"maxReplicas": real.executors}}))
    until(lambda: len(pods(cluster, "default")) == real.executors, 20, "drained and gone")


def test_a_pool_that_no_node_takes_says_so_and_grows_when_it_is_needed(real, cluster):
    name = unique("nowhere")
    cluster.create([{"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": name},
                     "spec": {"minReplicas": 1, "maxReplicas": 1, "slotsPerExecutor": 1,
                              "template": {"nodeSelector": {"example.com/disk": "ssd"}}}}])
    until(lambda: "Unschedulable" in ready(cluster, name).get("message", ""), 20, "the condition names the cause")
    assert ready(cluster, name)["status"] == "False"
    until(lambda: any("Unschedulable" in m for m in told(cluster, name, "ExecutorNotReady")), 10, "so does an event")
    cluster.kubectl("delete", "executorpool", name, "--timeout=20s")
    until(lambda: not pods(cluster, name), 20, "its pods go with it")


def test_an_evicted_executor_is_replaced(real, cluster):
    victim, uid = sorted(pods(cluster, "default").items())[0]
    cluster.kubectl("patch", "pod", victim, "-n", EXECUTORS, "--subresource=status", "--type=merge", "-p", json.dumps(
        {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}}))
    until(lambda: any("Evicted" in m for m in told(cluster, "default", "ExecutorLost")), 10, "an event says so")
    until(lambda: uid not in pods(cluster, "default").values() and len(pods(cluster, "default")) == real.executors, 60,
          "it is replaced")
    until(lambda: ready(cluster, "default")["status"] == "True", 90, "the pool is ready again")
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"
