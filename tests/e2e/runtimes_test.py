"""The life of Runtimes and of environments that Submissions bring: published, side by side, tested again, kept, freed."""

import json

import pytest

from harness import of, output, unique
from waiting import until

SHELL = """{ pkgs ? import <nixpkgs> {} }:
pkgs.mkShell { packages = [ pkgs.bash pkgs.coreutils ]; MARK = "%s"; }
"""


def runtime(name, environment, script='exec bash main.sh "$@"', **spec):
    return {"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": name},
            "spec": {"environment": environment, "sourceFile": "main.sh", "run": {"script": script}, **spec}}


def conditions(cluster, name):
    return {c["type"]: c for c in cluster.get("runtime", name)["status"]["conditions"]}


def status(cluster, spec, **kwargs):
    return cluster.run_one(spec, **kwargs)["status"]


def needs_data(cluster):
    if cluster.data is None:
        pytest.skip("needs the data folder of `envicutor up`")


def test_published_signed_and_said(cluster):
    needs_data(cluster)
    got = cluster.get("runtime", "bash")["status"]
    environment = got["environment"]
    published = conditions(cluster, "bash")["Published"]
    assert (published["status"], published["reason"]) == ("True", "Published"), published
    assert environment["signedBy"] and environment["signedBy"] in published["message"], got
    narinfo = cluster.data / "cache" / (environment["storePath"].split("/")[3][:32] + ".narinfo")
    assert f"\nSig: {environment['signedBy']}:" in narinfo.read_text()
    assert (cluster.data / "cache" / "environments" / environment["hash"]).exists()
    assert (cluster.data / "pki" / "cache.secret").stat().st_mode & 0o077 == 0
    assert (cluster.data / "pki" / "cache.public").read_text().startswith(environment["signedBy"] + ":")


def test_conflicting_dependencies_side_by_side(cluster):
    names = [unique("conflict"), unique("conflict")]
    tool = """{ pkgs ? import <nixpkgs> {} }:
      pkgs.mkShell { packages = [ pkgs.bash (pkgs.writeShellScriptBin "tool" "echo version %d") ]; }"""
    for version, name in enumerate(names):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(runtime(name, {"shell": tool % version})))
    cluster.wait_runtimes(names)
    done = cluster.run(*(of(name, "tool") for name in names for _ in range(3)))
    assert [output(s["status"]["stages"]["run"]) for s in done] == [b"version 0\n"] * 3 + [b"version 1\n"] * 3
    # One of them gets another environment; nothing of the other moves.
    before = cluster.get("runtime", names[1])
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(runtime(names[0], {"shell": tool % 7})))
    until(lambda: output(status(cluster, of(names[0], "tool"))["stages"]["run"]) == b"version 7\n", 60,
          "the new version serves")
    assert cluster.get("runtime", names[1])["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    for name in names:
        cluster.kubectl("delete", "runtime", name, timeout=60)


def test_deleting_waits_for_submissions_then_frees(cluster):
    name, waiting = unique("delete"), unique("long")
    cluster.apply_runtime(runtime(name, {"shell": SHELL % name}))
    environment = cluster.get("runtime", name)["status"]["environment"]["hash"]
    cluster.create([{"apiVersion": "envicutor.io/v1alpha1", "kind": "Submission", "metadata": {"name": waiting},
                     "spec": of(name, "sleep 4; echo $MARK")}])
    until(lambda: cluster.get("submission", waiting).get("status", {}).get("phase") == "Running", 60, "it runs")
    cluster.kubectl("delete", "runtime", name, "--wait=false")
    assert "deletionTimestamp" in cluster.get("runtime", name)["metadata"]
    done = cluster.wait_finished([waiting])[waiting]["status"]
    assert (done["verdict"], output(done["stages"]["run"])) == ("Accepted", f"{name}\n".encode()), done
    cluster.kubectl("wait", "--for=delete", f"runtime/{name}", "--timeout=30s")
    if cluster.data is not None:
        until(lambda: not (cluster.data / "store" / "environments" / environment).exists(), 60, "the environment is removed")


def test_the_annotation_tests_again(cluster):
    name = unique("retest")
    tests = [{"name": "one", "source": "echo 1", "expect": {"stdout": "1\n"}}]
    cluster.apply_runtime(runtime(name, {"packages": ["bash", "coreutils"]}, selfTests=tests))
    annotated = json.loads(cluster.kubectl("annotate", "runtime", name, "envicutor.io/retest=1", "-o", "json").stdout)

    def seen():
        # The status was written after the annotation: a test again, and its result.
        return (conditions(cluster, name)["Tested"]["reason"] == "Passed"
                and cluster.get("runtime", name)["metadata"]["resourceVersion"] != annotated["metadata"]["resourceVersion"])
    until(seen, 60, "it was tested again")
    assert cluster.get("runtime", name)["status"]["selfTests"] == [{"name": "one", "passed": True, "message": ""}]
    cluster.kubectl("delete", "runtime", name, timeout=60)


def test_an_environment_of_a_submission_is_built_once(cluster):
    spec = {"environment": {"shell": SHELL % unique("once")}, "run": {"script": "echo $MARK"}}
    both = [s["status"] for s in cluster.run(spec, spec, timeout=300)]
    assert [s["verdict"] for s in both] == ["Accepted"] * 2, both
    stage = both[0]["stages"]["environment"]
    assert (stage["exitStatus"], stage["exitCode"]) == ("OK", 0) and "environment" in stage["stderr"], stage
    assert stage["wallTimeMillis"] > 0 and stage["cpuTimeMillis"] > 0, stage
    built = cluster.kubectl("get", "pods", "-n", "envicutor-executors", "-o", "name").stdout
    warm = [status(cluster, spec) for _ in range(3)]
    assert {s["verdict"] for s in warm} == {"Accepted"}
    assert all(s["stages"]["environment"]["exitStatus"] == "OK" for s in warm), warm
    assert cluster.kubectl("get", "pods", "-n", "envicutor-executors", "-o", "name").stdout == built
    # In the same cache, but not another's.
    other = status(cluster, {**spec, "environment": {"shell": SHELL % "other"}}, timeout=300)
    assert output(other["stages"]["run"]) == b"other\n"


def test_an_environment_that_is_not_to_be_kept(cluster):
    needs_data(cluster)
    cache, store = cluster.data / "cache", cluster.data / "store"
    before = {p.name for p in (cache / "environments").iterdir()}, {p.name for p in cache.glob("*.narinfo")}
    environments = {p.name for p in (store / "environments").iterdir()}
    spec = {"environment": {"shell": SHELL % "private", "cache": False}, "run": {"script": "echo $MARK"}}
    one = status(cluster, spec, timeout=300)
    assert output(one["stages"]["run"]) == b"private\n" and one["stages"]["environment"]["exitStatus"] == "OK", one
    assert ({p.name for p in (cache / "environments").iterdir()}, {p.name for p in cache.glob("*.narinfo")}) == before
    until(lambda: {p.name for p in (store / "environments").iterdir()} <= environments, 60, "it is removed")
