"""Two executor nodes with stores of their own, on one machine: an environment is built by one node's builder, runs on
both, and the second node only fetches it."""

import importlib.util
import json
import os
import re
import signal
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

import harness

_spec = importlib.util.spec_from_file_location("e2e_harness", harness.ROOT / "tests" / "e2e" / "harness.py")
e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(e2e)

RUN = {"script": 'exec bash main.sh "$@"'}
TESTS = [{"name": "hello", "source": "echo hello", "expect": {"stdout": "hello\n"}}]


def runtime(name, pool="default", environment=None):
    return {"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": name},
            "spec": {"description": "for a test", "environment": environment or {"packages": ["bash", "coreutils"]},
                     "sourceFile": "main.sh", "run": RUN, "executorPool": pool, "selfTests": TESTS}}


class Nodes(e2e.Cluster):
    """`envicutor up`, and a second node that joins it."""

    def __init__(self):
        super().__init__()
        self.second = None

    def start(self):
        self.data = Path(tempfile.mkdtemp(prefix="envicutor-two-", dir="/var/tmp"))
        self.kubeconfig = str(self.data / "kubeconfig")
        if given := os.environ.get("ENVICUTOR_NIXPKGS"):  # where there is no network
            (self.data / "store").mkdir()
            subprocess.run(["cp", "-a", given, self.data / "store" / "nixpkgs"], check=True)
        subprocess.run([harness.BIN / "envicutor", "up", "--data-dir", self.data, "--kubeconfig", self.kubeconfig,
                        "--port", "0", "--detach", "--node", "host", "--allow-degraded", "--slots", "2"], check=True,
                       timeout=300)

    def join(self):
        self.other = self.data / "second"
        self.root = self.other / "root"
        # The cache is a folder here: the same one for both.
        cache = self.root / str(self.data / "cache")[1:]
        cache.parent.mkdir(parents=True)
        cache.symlink_to(self.data / "cache")
        self.log = (self.data / "second.log").open("wb")
        self.second = subprocess.Popen(
            [harness.BIN / "envicutor", "node", "--kubeconfig", self.data / "pki" / "node.kubeconfig", "--name",
             "second", "--data-dir", self.other, "--node-mode", "host", "--host-path-root", self.root, "--pod-subnet",
             "1"], stdout=self.log, stderr=self.log)
        pool = {"apiVersion": "envicutor.io/v1alpha1", "kind": "ExecutorPool", "metadata": {"name": "second"},
                "spec": {"minReplicas": 1, "maxReplicas": 1, "slotsPerExecutor": 2,
                         "template": {"nodeSelector": {"kubernetes.io/hostname": "second"}}}}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pool))

    @property
    def stores(self):
        return self.data / "store", self.root / str(self.data / "store")[1:]

    def stop(self):
        if self.second and self.second.poll() is None:
            self.second.send_signal(signal.SIGTERM)
            self.second.wait(timeout=60)
        if self.data:
            self.down()
            if not os.environ.get("ENVICUTOR_E2E_KEEP"):
                harness.remove(self.data)


def executor_of(nodes, pool):
    pods = json.loads(nodes.kubectl("get", "pods", "-n", "envicutor-executors", "-l", f"envicutor.io/pool={pool}", "-o",
                                    "json").stdout)["items"]
    return next(p for p in pods if p["status"].get("phase") == "Running")


def fetches(nodes, pool):
    address = executor_of(nodes, pool)["status"]["podIP"]
    text = urllib.request.urlopen(f"http://{address}:9464/metrics", timeout=20).read().decode()
    found = re.search(r"^envicutor_agent_closure_fetch_seconds_count (\S+)$", text, re.M)
    return float(found.group(1)) if found else 0


@pytest.fixture(scope="module")
def nodes():
    if os.geteuid() != 0 or not shutil.which("nix") or not shutil.which("kubectl"):
        pytest.skip("needs root, nix and kubectl")
    nodes = Nodes()
    try:
        nodes.start()
        # Built while there is only the first node, so that its builder is the one.
        nodes.apply_runtime(runtime("first"))
        nodes.join()
        yield nodes
    finally:
        nodes.stop()


def environment_of(nodes, name):
    return nodes.get("runtime", name)["status"]["environment"]


def test_built_once_runs_on_both_and_the_second_only_fetches(nodes):
    built, fetched = nodes.stores
    environment = environment_of(nodes, "first")
    assert environment["signedBy"], "it is signed"
    start = time.monotonic()
    nodes.apply_runtime(runtime("elsewhere", "second"))
    print(f"a Runtime that is in the cache: Ready on a fresh node after {time.monotonic() - start:.1f} s, its "
          "executor's start included")
    assert environment_of(nodes, "elsewhere")["hash"] == environment["hash"]
    done = nodes.run(e2e.of("first", "echo one"), e2e.of("elsewhere", "echo two"))
    assert [e2e.output(s["status"]["stages"]["run"]) for s in done] == [b"one\n", b"two\n"]
    assert [s["status"]["executor"]["node"] for s in done][1] == "second"
    assert done[0]["status"]["executor"]["node"] != "second"
    # One node built, the other fetched, once.
    assert (fetches(nodes, "default"), fetches(nodes, "second")) == (0, 1)
    assert (fetched / "environments" / environment["hash"] / "environment.json").exists()
    assert (built / "environments" / environment["hash"] / "environment.json").exists()
    assert list((built / "nix/store").glob("*.drv")) and not list((fetched / "nix/store").glob("*.drv"))


def test_runtimes_are_fetched_ahead_by_every_node(nodes):
    """A Runtime of the first pool is on the second node before anything of it runs there."""
    _, fetched = nodes.stores
    name = "ahead"
    nodes.apply_runtime(runtime(name, environment={"shell": "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { packages = "
                                                            "[ pkgs.bash pkgs.coreutils ]; AHEAD = \"1\"; }"}))
    hash_ = environment_of(nodes, name)["hash"]
    harness.wait_for("the prefetch", (fetched / "environments" / hash_ / "environment.json").exists, 60)


def forget(store, environment):
    """Takes an environment off a node's store, as if it had never been there."""
    harness.remove(store / "environments" / environment["hash"])
    harness.remove(store / "views" / environment["hash"])
    (store / "nix/var/nix/gcroots/envicutor" / environment["hash"]).unlink()
    harness.nix(store.parent / "nix-home", "nix-store", "--store", f"local?root={store}", "--delete",
                "--ignore-liveness", environment["storePath"])


def test_a_cache_that_lies_delays_only_those_who_need_it(nodes):
    """The reason is in the Submission while it waits, others run, and it runs once the cache is healed."""
    environment = environment_of(nodes, "elsewhere")
    narinfo = nodes.data / "cache" / (Path(environment["storePath"]).name[:32] + ".narinfo")
    good = narinfo.read_text()
    narinfo.write_text(re.sub(r"^Sig: .*$", "Sig: stranger-1:" + "A" * 86 + "==", good, flags=re.M))
    forget(nodes.stores[1], environment)
    name = e2e.unique("lied-to")
    nodes.create([e2e.submission(name, e2e.of("elsewhere", "echo healed"))])

    def waits():
        status = nodes.get("submission", name).get("status", {})
        assert status.get("phase") not in e2e.TERMINAL, status
        return "not signed by a trusted key" in status.get("message", "")
    harness.wait_for("the reason", waits, 30)
    assert nodes.run_one(e2e.of("first", "echo on"))["status"]["verdict"] == "Accepted"
    narinfo.write_text(good)
    status = nodes.wait_finished([name], timeout=90)[name]["status"]
    assert status["verdict"] == "Accepted" and e2e.output(status["stages"]["run"]) == b"healed\n", status


def test_what_cannot_be_had_is_said(nodes):
    """EnvironmentUnavailable after bounded tries, with the reason of the last."""
    environment = environment_of(nodes, "elsewhere")
    narinfo = nodes.data / "cache" / (Path(environment["storePath"]).name[:32] + ".narinfo")
    good = narinfo.read_text()
    try:
        narinfo.write_text(re.sub(r"^Sig: .*$", "Sig: stranger-1:" + "A" * 86 + "==", good, flags=re.M))
        forget(nodes.stores[1], environment)
        status = nodes.run_one(e2e.of("elsewhere", "echo never"), timeout=120)["status"]
        assert status["phase"] == "Failed" and status["reason"] == "EnvironmentUnavailable", status
        assert "not signed by a trusted key" in status["message"]
    finally:
        narinfo.write_text(good)


def test_an_environment_that_is_not_cached_runs_where_it_was_built(nodes):
    """cache: false: built for one submission, on whichever node, and never in the cache; it runs on that node."""
    before = set((nodes.data / "cache").glob("*.narinfo"))
    spec = {"environment": {"packages": ["bash", "coreutils"], "cache": False}, "run": {"script": "echo alone"}}
    done = nodes.run(spec, spec, timeout=240)
    assert [e2e.output(s["status"]["stages"]["run"]) for s in done] == [b"alone\n"] * 2
    assert set((nodes.data / "cache").glob("*.narinfo")) == before
