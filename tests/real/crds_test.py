"""crds/ against a real kube-apiserver: it takes them, teaches from them and refuses what they refuse."""

import json

import pytest

from conftest import ROOT

_n = 0


def submission(spec, name=None):
    global _n
    _n += 1
    return json.dumps({"apiVersion": "envicutor.io/v1alpha1", "kind": "Submission",
                       "metadata": {"name": name or f"s{_n}"}, "spec": spec})


def bash(**spec):
    return {"runtimeRef": {"name": "bash"}, "source": "true", **spec}


def test_examples_are_accepted(kubectl):
    for folder in ("runtimes", "submissions"):
        done = kubectl("apply", "-f", str(ROOT / "docs" / "examples" / folder))
        assert done.returncode == 0, done.stderr


def test_explain(kubectl):
    for path, word in (("submission.spec.run.limits", "wallTime"), ("runtime.spec.selfTests", "expect"),
                       ("executorpool.spec", "slotsPerExecutor")):
        done = kubectl("explain", path, "--api-version=envicutor.io/v1alpha1")
        assert word in done.stdout and "<no description>" not in done.stdout, done.stdout


@pytest.mark.parametrize("spec,needles", [
    (bash(sorce="x"), ['unknown field "spec.sorce"']),
    (bash(source=5), ["spec.source", "string"]),
    (bash(run={"args": ["x"] * 5000}), ["spec.run.args", "Too many"]),
    (bash(environment={"packages": ["bash"]}, run={"script": "true"}), ["runtimeRef", "environment"]),
    ({"source": "true"}, ["runtimeRef", "environment"]),
    ({"environment": {"packages": ["bash"]}}, ["run.script"]),
    (bash(run={"limits": {"memory": "12 potatoes"}}), ["spec.run.limits.memory"]),
    (bash(files=[{"path": "../x", "content": ""}]), ["path"]),
])
def test_bad_input_is_refused_with_the_field(kubectl, spec, needles):
    done = kubectl("create", "-f", "-", stdin=submission(spec))
    assert done.returncode != 0
    for needle in needles:
        assert needle in done.stderr, done.stderr


@pytest.mark.parametrize("limits", [
    {"wallTime": "1500ms", "cpuTime": "2s", "extraTime": "1m30s"}, {"wallTime": 2, "cpuTime": "0.5"},
    {"memory": "262144Ki", "maxFileSize": "1.5Gi", "maxStdout": "65536", "stack": 1048576},
])
def test_every_form_of_limit(kubectl, limits):
    done = kubectl("create", "-f", "-", stdin=submission(bash(run={"limits": limits})))
    assert done.returncode == 0, done.stderr


def patch(kubectl, name, body, *more):
    return kubectl("patch", "submission", name, "--type=merge", "-p", json.dumps(body), *more)


def test_spec_is_immutable_and_cancel_goes_one_way(kubectl):
    kubectl("create", "-f", "-", stdin=submission(bash(), "fixed"))
    assert "immutable" in patch(kubectl, "fixed", {"spec": {"source": "false"}}).stderr
    assert patch(kubectl, "fixed", {"spec": {"cancel": True}}).returncode == 0
    assert "cancel" in patch(kubectl, "fixed", {"spec": {"cancel": False}}).stderr


def test_a_result_is_written_once(kubectl):
    kubectl("create", "-f", "-", stdin=submission(bash(), "once"))
    status = "--subresource=status"
    assert patch(kubectl, "once", {"status": {"phase": "Running"}}, status).returncode == 0
    final = {"status": {"phase": "Completed", "verdict": "Accepted"}}
    assert patch(kubectl, "once", final, status).returncode == 0
    for forged in ({"verdict": "WrongAnswer"}, {"message": "x"}, {"verdict": None}, {"phase": "Running"}):
        done = patch(kubectl, "once", {"status": forged}, status)
        assert done.returncode != 0 and "status is final" in done.stderr, (forged, done)
    picked = kubectl("get", "submissions", "--field-selector",
                     "status.phase=Completed,status.verdict=Accepted,spec.runtimeRef.name=bash", "-o", "name")
    assert picked.stdout.split() == ["submission.envicutor.io/once"], picked


def test_pools_scale(kubectl):
    kubectl("create", "-f", "-", stdin=json.dumps(
        {"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": "default"},
         "spec": {"minReplicas": 1, "maxReplicas": 4}}))
    assert kubectl("scale", "executorpool", "default", "--replicas=3").returncode == 0
