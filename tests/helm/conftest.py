import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE), str(ROOT / "tests" / "real")]

from chart import Chart  # noqa: E402
from control_plane import ControlPlane, Unavailable  # noqa: E402


def tools(*commands):
    """The folder of tests/tools' commands. Unavailable."""
    built = subprocess.run([ROOT / "tests" / "tools" / "build", *commands], capture_output=True, text=True)
    if built.returncode != 0:
        raise Unavailable((built.stderr.strip().splitlines() or ["tests/tools failed"])[-1])
    return Path(built.stdout.strip())


@pytest.fixture(scope="session")
def chart():
    try:
        return Chart(tools("helm") / "helm")
    except Unavailable as why:
        pytest.skip(f"no helm here: {why}")


@pytest.fixture(scope="session")
def kubectl():
    """A control plane with the chart's types and namespaces, to validate against."""
    plane = ControlPlane()
    try:
        plane.start()
    except Unavailable as why:
        plane.stop()
        pytest.skip(f"no real kube-apiserver here: {why}")

    def run(*args, stdin=None):
        return subprocess.run(["kubectl", "--kubeconfig", plane.kubeconfig, *map(str, args)], input=stdin, text=True,
                              capture_output=True, timeout=120)

    try:
        for command in (("apply", "-f", ROOT / "crds"), ("create", "namespace", "envicutor-system"),
                        ("create", "namespace", "envicutor-executors"),
                        ("wait", "--for=condition=Established", "-f", ROOT / "crds", "--timeout=30s")):
            done = run(*command)
            assert done.returncode == 0, done.stderr
        yield run
    finally:
        plane.stop()


@pytest.fixture(scope="module")
def cluster(chart):
    """A control plane with controllers and our node, where the chart can be installed. From here on the tests
    have a network of their own."""
    from helm_cluster import HelmCluster

    cluster = HelmCluster(chart)
    try:
        try:
            cluster.prepare(tools("kube-apiserver", "kube-controller-manager"))
            cluster.start()
        except Unavailable as why:
            pytest.skip(f"the chart cannot be installed here: {why}")
        yield cluster
    finally:
        cluster.stop()
