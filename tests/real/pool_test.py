"""ExecutorPools: what happens to an executor is in conditions and events within seconds, and made good."""

import json
import os
import signal

import pytest

from harness import of, unique
from history import executors_of
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


def unplaced(cluster, name, **template):
    """A pool with one executor that no node takes; its pod's name."""
    template["nodeSelector"] = {"example.com/disk": "ssd"}
    cluster.create([{"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": name},
                     "spec": {"minReplicas": 1, "maxReplicas": 1, "slotsPerExecutor": 3, "template": template}}])
    return next(iter(until(lambda: pods(cluster, name), 20, "its executor is created")))


def gone(cluster, name):
    cluster.kubectl("delete", "executorpool", name, "--timeout=20s")
    until(lambda: not pods(cluster, name), 20, "its pods go with it")


# What a kubelet reports of a container; this node has no images and runs out of memory in a machine of its own
# (MachineTest.TheGroupsOwnOutOfMemoryIsReported), so it is written in its place.
@pytest.mark.parametrize("container, words", [
    ({"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"none:1\""}}},
     ["ImagePullBackOff", "none:1"]),
    ({"state": {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"none:1\" is not present"}}},
     ["ErrImageNeverPull", "none:1"]),
    ({"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
      "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137, "startedAt": "2026-01-01T00:00:00Z",
                                   "finishedAt": "2026-01-01T00:00:00Z"}}}, ["OOMKilled", "137"]),
], ids=["image-pull", "image-absent", "out-of-memory"])
def test_what_a_kubelet_says_of_an_executor_is_in_condition_and_event(real, cluster, container, words):
    name = unique("told")
    pod = unplaced(cluster, name)
    status = {"name": "agent", "image": "none:1", "imageID": "", "ready": False, "restartCount": 1, **container}
    cluster.kubectl("patch", "pod", pod, "-n", EXECUTORS, "--subresource=status", "--type=merge", "-p",
                    json.dumps({"status": {"phase": "Running", "containerStatuses": [status]}}))
    until(lambda: all(w in ready(cluster, name).get("message", "") for w in words), 10, f"the condition says {words}")
    assert ready(cluster, name)["status"] == "False"
    until(lambda: any(all(w in m for w in words) for m in told(cluster, name, "ExecutorNotReady")), 10, "so does an event")
    gone(cluster, name)


def test_an_executor_that_is_killed_is_named_and_comes_back(real, cluster):
    victim = sorted(pods(cluster, "default"))[0]
    before = cluster.get("pod", victim, EXECUTORS)["status"]["containerStatuses"][0]
    os.kill(executors_of(real.dir / "node", pods(cluster, "default")[victim])[0], signal.SIGKILL)
    until(lambda: any(victim in m and "137" in m for m in told(cluster, "default", "ExecutorNotReady")), 30,
          "an event names it")
    until(lambda: ready(cluster, "default")["status"] == "True", 90, "the pool is ready again")
    after = cluster.get("pod", victim, EXECUTORS)["status"]["containerStatuses"][0]
    assert after["restartCount"] == before["restartCount"] + 1
    assert after["lastState"]["terminated"]["exitCode"] == 137
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"


def test_executors_whose_node_is_gone_are_named_and_replaced(real, cluster):
    before = pods(cluster, "default")
    real.lose_node()
    until(lambda: any("has not answered" in m for m in told(cluster, "default", "ExecutorLost")), 90, "an event says so")
    until(lambda: ready(cluster, "default")["status"] == "False", 10, "the condition, too")
    real.start_node()  # the machine is back
    until(lambda: ready(cluster, "default")["status"] == "True", 120, "others serve")
    assert not set(before.values()) & set(pods(cluster, "default").values())
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"


def test_the_template_reaches_the_pods_of_each_pool(real, cluster):
    cluster.create([{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 7,
                     "metadata": {"name": unique("high")}}])
    high = next(p["metadata"]["name"] for p in cluster.list("priorityclasses") if p["value"] == 7)
    toleration = {"key": "example.com/only", "operator": "Equal", "value": "x", "effect": "NoSchedule"}
    plain, special = unique("plain"), unique("special")
    first = unplaced(cluster, plain)
    second = unplaced(cluster, special, tolerations=[toleration], priorityClassName=high,
                      resources={"requests": {"cpu": "250m", "memory": "300Mi"}, "limits": {"memory": "400Mi"}})
    spec = cluster.get("pod", second, EXECUTORS)["spec"]
    container = spec["containers"][0]
    assert spec["nodeSelector"] == {"example.com/disk": "ssd"}
    assert toleration in spec["tolerations"] and spec["priorityClassName"] == high
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "300Mi"}, "limits": {"memory": "400Mi"}}
    assert container["args"][container["args"].index("--slots") + 1] == "3"
    assert toleration not in cluster.get("pod", first, EXECUTORS)["spec"].get("tolerations", [])
    for name in (plain, special):
        gone(cluster, name)
    cluster.kubectl("delete", "priorityclass", high)


def test_the_scale_subresource(real, cluster):
    name = unique("scaled")
    unplaced(cluster, name)
    cluster.kubectl("patch", "executorpool", name, "--type=merge", "-p", json.dumps({"spec": {"maxReplicas": 4}}))
    raw = f"/apis/envicutor.io/v1alpha1/executorpools/{name}/scale"

    def scale():
        return json.loads(cluster.kubectl("get", "--raw", raw).stdout)

    assert (scale()["kind"], scale()["spec"]["replicas"]) == ("Scale", 1)
    until(lambda: scale()["status"]["replicas"] == 1, 10, "its status counts the executors")
    cluster.kubectl("scale", f"executorpool/{name}", "--replicas=3")
    until(lambda: len(pods(cluster, name)) == 3 and scale()["status"]["replicas"] == 3, 20, "three executors")
    assert scale()["spec"]["replicas"] == 3
    gone(cluster, name)


def test_an_empty_pool_grows_for_a_submission_and_is_empty_again_after_idle_seconds(real, cluster):
    pool, runtime = unique("burst"), unique("burst-bash")
    cluster.create([{"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": pool},
                     "spec": {"minReplicas": 0, "maxReplicas": 1, "slotsPerExecutor": 1, "idleSeconds": 2,
                              "sandbox": "native", "template": {"resources": {"limits": {"memory": "384Mi"}}}}}])
    spec = cluster.get("runtime", "bash")["spec"]
    spec.update(executorPool=pool, selfTests=[])
    cluster.create([{"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": runtime},
                     "spec": spec}])
    cluster.wait_runtimes([runtime])
    until(lambda: not pods(cluster, pool), 60, "nothing runs while nothing waits")
    done = cluster.run_one(of(runtime, "echo burst"))
    assert done["status"]["verdict"] == "Accepted"
    assert done["status"]["executor"]["pod"].startswith(f"executor-{pool}-")
    until(lambda: not pods(cluster, pool), 60, "it is drained and removed when it has been idle")
    cluster.kubectl("delete", "runtime", runtime, "--timeout=30s")
    gone(cluster, pool)


def test_an_evicted_executor_is_replaced(real, cluster):
    victim, uid = sorted(pods(cluster, "default").items())[0]
    cluster.kubectl("patch", "pod", victim, "-n", EXECUTORS, "--subresource=status", "--type=merge", "-p", json.dumps(
        {"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}}))
    until(lambda: any("Evicted" in m for m in told(cluster, "default", "ExecutorLost")), 10, "an event says so")
    until(lambda: uid not in pods(cluster, "default").values() and len(pods(cluster, "default")) == real.executors, 60,
          "it is replaced")
    until(lambda: ready(cluster, "default")["status"] == "True", 90, "the pool is ready again")
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"
