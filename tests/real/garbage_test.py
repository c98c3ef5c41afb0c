"""With Kubernetes' own controllers beside it: namespaces that go amid running submissions, what the operator
owns, and quotas."""

import json

import pytest

from harness import of, submission, unique
from waiting import until

EXECUTORS = "envicutor-executors"


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


@pytest.fixture(scope="module")
def controllers(real, cluster):
    if real.controller_manager is None:
        pytest.skip(f"no kube-controller-manager here: {real.no_controller_manager}")
    process = real.plane.start_controller_manager(real.controller_manager)
    yield process
    real.plane.end(process, 10)


def namespace(cluster, name):
    cluster.kubectl("create", "namespace", name)
    return name


def test_a_namespace_goes_amid_its_running_submissions(real, cluster, controllers):
    ns = namespace(cluster, unique("going"))
    names = [unique("long") for _ in range(real.executors + 2)]  # some run, some wait
    cluster.create([submission(n, of("bash", "sleep 60", run={"limits": {"wallTime": "60s"}}), ns) for n in names])
    until(lambda: cluster.get("executorpool", "default")["status"]["busySlots"] == real.executors, 30,
          "the executors are busy")
    cluster.kubectl("delete", "namespace", ns, "--timeout=60s", timeout=90)
    until(lambda: cluster.get("executorpool", "default")["status"]["busySlots"] == 0, 20,
          "what ran there was stopped")
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"


def test_deleted_in_the_foreground_a_submission_goes_too(real, cluster, controllers):
    name = unique("foreground")
    cluster.create([submission(name, of("bash", "sleep 60", run={"limits": {"wallTime": "60s"}}))])
    cluster.kubectl("wait", f"submission/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    cluster.kubectl("delete", "submission", name, "--cascade=foreground", "--timeout=30s")
    until(lambda: cluster.get("executorpool", "default")["status"]["busySlots"] == 0, 20, "it was stopped")


def test_a_builders_inputs_go_with_its_pod(real, cluster, controllers):
    name = unique("owned")
    cluster.create([submission(name, {"environment": {"packages": ["bash"], "cache": False},
                                      "run": {"script": "echo built"}})])

    def owned():
        return next((m for m in cluster.list("configmaps", EXECUTORS) if m["metadata"].get("ownerReferences")), None)

    found = until(owned, 30, "a builder's ConfigMap has its pod as owner")
    owner = found["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("Pod", found["metadata"]["name"])
    # Nobody but Kubernetes is left to clean up.
    assert real.plane.end(real.operator) == 0
    cluster.kubectl("delete", "pod", owner["name"], "-n", EXECUTORS, "--ignore-not-found", "--timeout=60s")
    until(lambda: found["metadata"]["uid"] not in
          {m["metadata"]["uid"] for m in cluster.list("configmaps", EXECUTORS)}, 30, "the ConfigMap is collected")
    real.operator = real.start_operator("garbage")
    assert cluster.wait_finished([name])[name]["status"]["verdict"] == "Accepted"


def test_a_quota_bounds_a_namespaces_submissions(real, cluster, controllers):
    ns = namespace(cluster, unique("bounded"))
    cluster.kubectl("create", "quota", "submissions", "--hard=count/submissions.envicutor.io=2", "-n", ns)
    until(lambda: "count/submissions.envicutor.io" in
          cluster.get("resourcequota", "submissions", ns).get("status", {}).get("hard", {}), 30, "the quota counts")
    names = [unique("counted") for _ in range(2)]
    cluster.create([submission(n, of("bash", "true"), ns) for n in names])
    refused = cluster.create([submission(unique("over"), of("bash", "true"), ns)], check=False)
    assert refused.returncode != 0
    assert "exceeded quota: submissions" in refused.stderr and "limited: count/submissions.envicutor.io=2" in refused.stderr
    assert {s["status"]["verdict"] for s in cluster.wait_finished(names, ns).values()} == {"Accepted"}
    # What is deleted makes room.
    cluster.kubectl("delete", "submission", names[0], "-n", ns)
    until(lambda: cluster.create([submission(unique("again"), of("bash", "true"), ns)], check=False).returncode == 0,
          30, "there is room again")
