import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from control_plane import ControlPlane, Unavailable  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kubectl():
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
