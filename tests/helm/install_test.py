"""The chart's life in a cluster: install, run a program, test, upgrade, rollback, uninstall, install again. In this
order, as an administrator would."""

import json

import pytest

from chart import NAMESPACE
from helm_cluster import EXECUTORS


@pytest.fixture(scope="module")
def installed(cluster):
    cluster.install()
    return cluster


def secret(cluster, namespace, name):
    return cluster.get("secret", name, "-n", namespace)["data"]


def test_a_submission_is_accepted(installed):
    status = installed.submit("hello", "echo hello from helm")
    assert status["verdict"] == "Accepted", json.dumps(status, indent=1) + installed.story()
    assert status["stages"]["run"]["stdout"] == "hello from helm\n"


def test_the_operator_works_with_its_own_rights_only(installed):
    """The service account's, that is: the pods have no kubeconfig, and what they may is what the chart says."""
    pods = installed.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=operator")["items"]
    assert len(pods) == 2
    for pod in pods:
        assert pod["spec"]["serviceAccountName"] == "envicutor-operator"
    who = f"system:serviceaccount:{NAMESPACE}:envicutor-operator"
    for allowed, *what in (("yes", "update", "submissions", "--subresource=status"), ("no", "get", "secrets"),
                           ("no", "create", "submissions"), ("no", "create", "pods")):
        assert installed.can_i(*what, "--as", who, "-n", "default") == allowed, what


def test_executors_have_no_credential(installed):
    for pod in installed.get("pods", "-n", EXECUTORS)["items"]:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not [v for v in pod["spec"]["volumes"] if "projected" in v]


def test_both_namespaces_have_their_profile(installed):
    labels = installed.get("namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    labels = installed.get("namespace", EXECUTORS)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


def test_who_edits_a_namespace_may_submit_in_it(installed):
    installed.kubectl("create", "rolebinding", "alice", "--clusterrole=edit", "--user=alice", "-n", "default")
    who = ("--as", "alice", "-n", "default")
    assert installed.can_i("create", "submissions.envicutor.io", "--as", "bob", "-n", "default") == "no"
    installed.until(lambda: "submissions" in json.dumps(installed.get("clusterrole", "edit")["rules"]), 30,
                    "the role edit has what the chart adds")
    assert installed.can_i("create", "submissions.envicutor.io", *who) == "yes"
    for verb in ("update", "patch"):
        assert installed.can_i(verb, "submissions.envicutor.io", "--subresource=status", *who) == "no"
    assert installed.kubectl("get", "runtimes", *who)


def test_helm_test_submits_a_program(installed):
    said = installed.helm("test", "envicutor", "--timeout", "5m", "--logs")
    assert "Phase:          Succeeded" in said and "hello from" in said, said


def test_upgrade_changes_what_it_says_and_keeps_data(installed):
    before = [secret(installed, EXECUTORS, "envicutor-cache-key"), secret(installed, NAMESPACE, "envicutor-ca")]
    installed.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": "mine"},
        "spec": {"minReplicas": 0, "maxReplicas": 0}}))
    installed.upgrade(operator={"replicas": 1, "config": {"submissions": {"ttlSecondsAfterFinished": 100000}}},
                      pools={"second": {"minReplicas": 0, "maxReplicas": 1}})
    assert len(installed.names("pods", NAMESPACE, "-l", "app.kubernetes.io/component=operator")) == 1
    pools = [p["metadata"]["name"] for p in installed.get("executorpools")["items"]]
    assert pools == ["default", "mine", "second"]
    assert before == [secret(installed, EXECUTORS, "envicutor-cache-key"), secret(installed, NAMESPACE, "envicutor-ca")]
    assert installed.get("submission", "hello")["status"]["verdict"] == "Accepted"
    assert installed.submit("upgraded", "echo upgraded")["verdict"] == "Accepted"


def test_rollback_takes_it_back(installed):
    installed.helm("rollback", "envicutor", "1", "--wait", "--wait-for-jobs", "--timeout", "5m")
    assert len(installed.names("pods", NAMESPACE, "-l", "app.kubernetes.io/component=operator")) == 2
    # A pool of the release goes with the values that had it; the administrator's own stays.
    pools = [p["metadata"]["name"] for p in installed.get("executorpools")["items"]]
    assert pools == ["default", "mine"]
    assert installed.submit("rolled-back", "echo back")["verdict"] == "Accepted"


def test_certificates_are_renewed_and_runs_go_on(installed):
    """What the CronJob runs, told that a renewal is due."""
    names = [(NAMESPACE, "envicutor-operator-tls"), (EXECUTORS, "envicutor-executor-tls"), (NAMESPACE, "envicutor-ca")]
    before = [secret(installed, *name) for name in names]
    template = installed.get("cronjob", "envicutor-setup-renew", "-n", NAMESPACE)["spec"]["jobTemplate"]["spec"]["template"]
    args = template["spec"]["containers"][0]["args"]
    for flag, hours in (("--validity-hours", 8000), ("--renew-before-hours", 4000)):
        args[args.index(flag) + 1] = str(hours)
    installed.kubectl("create", "-f", "-", stdin=json.dumps({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "renew-now", "namespace": NAMESPACE},
        "spec": {"template": template, "backoffLimit": 2}}))
    installed.kubectl("wait", "job/renew-now", "-n", NAMESPACE, "--for=condition=Complete", "--timeout=120s")
    after = [secret(installed, *name) for name in names]
    for old, new in zip(before[:2], after[:2]):
        assert old["tls.crt"] != new["tls.crt"] and old["ca.crt"] == new["ca.crt"]
    assert before[2] == after[2]
    assert installed.submit("renewed", "echo on")["verdict"] == "Accepted"


def test_uninstall_keeps_data_and_a_new_release_goes_on_with_it(installed):
    key = secret(installed, EXECUTORS, "envicutor-cache-key")
    installed.kubectl("delete", "executorpool", "mine")
    installed.helm("uninstall", "envicutor", "--wait", "--timeout", "6m")
    assert installed.get("executorpools")["items"] == []
    installed.until(lambda: not installed.names("pods", EXECUTORS), 60, "executors are gone")
    assert not installed.names("deployments", NAMESPACE)
    assert installed.get("submission", "hello")["status"]["verdict"] == "Accepted"
    assert secret(installed, EXECUTORS, "envicutor-cache-key") == key
    installed.install()
    assert secret(installed, EXECUTORS, "envicutor-cache-key") == key
    assert installed.submit("again", "echo again")["verdict"] == "Accepted"
