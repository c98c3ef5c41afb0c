import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path += [str(HERE), str(ROOT / "tests" / "e2e")]

from cluster import RealCluster, own_network  # noqa: E402
from control_plane import ControlPlane, Unavailable  # noqa: E402


@pytest.fixture(scope="module")
def kubectl():
    """A control plane without Envicutor."""
    plane = ControlPlane()
    try:
        plane.start()
    except Unavailable as why:
        plane.stop()
        pytest.skip(f"no real kube-apiserver here: {why}")

    def run(*args, stdin=None):
        return subprocess.run(["kubectl", "--kubeconfig", plane.kubeconfig, *args], input=stdin, text=True,
                              capture_output=True, timeout=120)

    try:
        applied = run("apply", "-f", str(ROOT / "crds"))
        assert applied.returncode == 0, applied.stderr
        run("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
        yield run
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def real():
    """Envicutor on a control plane. From here on the tests have a network of their own."""
    real = RealCluster()
    try:
        try:
            real.prepare()
            own_network()
            real.start()
        except Unavailable as why:
            pytest.skip(f"no Envicutor on a real kube-apiserver here: {why}")
        yield real
    finally:
        real.stop()


@pytest.fixture(scope="session")
def shell(real):
    """What the tests of tests/e2e use, on the real one, with the Runtime bash."""
    from harness import RUNTIMES, Cluster

    os.environ["KUBECONFIG_E2E"] = real.kubeconfig
    cluster = Cluster()
    cluster.kubectl("apply", "-f", RUNTIMES / "bash.yaml")
    cluster.wait_runtimes(["bash"])
    return cluster


@pytest.fixture(scope="session")
def cluster(shell):
    """... with all of the Runtimes."""
    from harness import RUNTIMES

    shell.kubectl("apply", "-f", RUNTIMES)
    shell.wait_runtimes(["bash", "python3", "c", "cpp"])
    return shell
