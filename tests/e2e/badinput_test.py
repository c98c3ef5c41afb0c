"""Bad input: each a clear message in the API's answer or in status, nothing lost, nothing restarted."""

import base64
import json

import pytest

from harness import of, output, submission, unique


def refused(cluster, spec, *needles, name=None):
    """kubectl create fails and says all of `needles`."""
    done = cluster.create([submission(name or unique("bad"), spec)], check=False)
    assert done.returncode != 0, f"was accepted: {spec}"
    for needle in needles:
        assert needle.lower() in done.stderr.lower(), done.stderr
    return done.stderr


def rejected(cluster, spec, *needles):
    """Accepted by the API server, then Failed with reason Rejected and a message that says `needles`."""
    status = cluster.run_one(spec, prefix="rej")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Rejected"), status
    for needle in needles:
        assert needle in status["message"], status["message"]
    admitted = [c for c in status["conditions"] if c["type"] == "Admitted"][0]
    assert (admitted["status"], admitted["reason"]) == ("False", "Rejected")
    return status


def test_unknown_field_is_named(cluster):
    refused(cluster, of("bash", "true", sorce="x"), 'unknown field "spec.sorce"')


@pytest.mark.parametrize("spec,needles", [
    (of("bash", 5), ["spec.source", "string"]),
    (of("bash", "true", run={"args": "x"}), ["spec.run.args", "array"]),
    (of("bash", "true", priority="high"), ["spec.priority", "integer"]),
    (of("bash", "true", run={"args": ["x"] * 5000}), ["spec.run.args", "too many"]),
    (of("bash", "true", tests=[{"name": "a", "comparison": "fuzzy"}]), ["comparison", "exact"]),
])
def test_wrong_types_and_bounds(cluster, spec, needles):
    refused(cluster, spec, *needles)


def test_both_runtime_and_environment(cluster):
    refused(cluster, of("bash", "true", environment={"packages": ["bash"]}, run={"script": "true"}),
            "runtimeRef", "environment")


def test_neither_runtime_nor_environment(cluster):
    refused(cluster, {"source": "true"}, "runtimeRef", "environment")


def test_environment_needs_a_run_script(cluster):
    refused(cluster, {"environment": {"packages": ["bash"]}, "source": "true"}, "run.script")


def test_every_violated_limit_is_listed_at_once(cluster):
    status = rejected(cluster, of("bash", "true", run={"limits": {"wallTime": "360000s", "memory": "1Ti",
                                                                 "maxProcesses": 1000000}}),
                      "run.limits.wallTime: 360000s is more than the maximum ", "run.limits.memory: 1Ti",
                      "run.limits.maxProcesses: 1000000")
    assert "stages" not in status or not status["stages"].get("run")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", ".", "x/.."])
def test_paths_that_leave_the_box(cluster, path):
    spec = of("bash", files=[{"path": "main.sh", "content": "true"}, {"path": path, "content": "x"}])
    done = cluster.create([submission(unique("path"), spec)], check=False)
    if done.returncode != 0:
        assert "path" in done.stderr, done.stderr
    else:
        rejected(cluster, spec, "path")


def test_invalid_base64(cluster):
    rejected(cluster, of("bash", files=[{"path": "main.sh", "content": "%%%", "encoding": "base64"}]),
             "files[0]", "base64")


def test_missing_runtime_waits_then_fails(cluster):
    name = unique("norun")
    cluster.create([submission(name, of("no-such-runtime", "true"))])
    status = cluster.wait_finished([name], timeout=60)[name]["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "RuntimeNotFound"), status
    assert "no-such-runtime" in status["message"]


def test_source_of_one_mebibyte(cluster):
    """The answer says the field and the bound; half of it runs."""
    source = "echo big; exit 0\n" + "#" * (1 << 20)
    done = cluster.create([submission(unique("big"), of("bash", source))], check=False)
    assert done.returncode != 0
    assert "spec.source" in done.stderr and "524288" in done.stderr, done.stderr[:500]
    almost = cluster.run_one(of("bash", "echo big; exit 0\n" + "#" * (500 << 10)))
    assert almost["status"]["verdict"] == "Accepted", almost["status"]


def test_output_that_is_not_utf8(cluster):
    run = cluster.run_one(of("bash", r"printf '\xff\xfe\x00ok'"))["status"]["stages"]["run"]
    assert run["stdoutEncoding"] == "base64"
    assert output(run) == b"\xff\xfe\x00ok"


def test_spec_is_immutable(cluster):
    done = cluster.run_one(of("bash", "true"))
    name = done["metadata"]["name"]
    patch = cluster.kubectl("patch", "submission", name, "--type=merge", "-p",
                            json.dumps({"spec": {"source": "false"}}), check=False)
    assert patch.returncode != 0 and "immutable" in patch.stderr.lower(), patch.stderr


def test_a_result_is_written_once(cluster):
    name = cluster.run_one(of("bash", "exit 3"))["metadata"]["name"]
    forged = cluster.kubectl("patch", "submission", name, "--subresource=status", "--type=merge", "-p",
                             json.dumps({"status": {"verdict": "Accepted"}}), check=False)
    assert forged.returncode != 0, "a second result was accepted"
    assert cluster.get("submission", name)["status"]["verdict"] == "RuntimeError"


def test_hostile_archive_is_an_extract_error(cluster):
    status = cluster.run_one(of("bash", archive={"content": base64.b64encode(b"PK\x03\x04junk").decode()}))[
        "status"]
    assert status["phase"] == "Completed" and status["verdict"] == "ExtractError", status


def test_nothing_was_restarted(cluster):
    for pod in cluster.list("pods", "envicutor-executors"):
        for container in pod["status"].get("containerStatuses", []):
            assert container["restartCount"] == 0, pod["metadata"]["name"]
    assert cluster.run_one(of("bash", "echo still here"))["status"]["verdict"] == "Accepted"
