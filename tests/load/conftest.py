"""An Envicutor under load for the whole session, on this host and degraded, as tests/load/run.sh has it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from system import BIN, LOAD_RUNTIME, Up, own_network  # noqa: E402


@pytest.fixture(scope="session")
def up():
    for tool in ("kubectl", "ip", "nix-build"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    if not (BIN / "envicutor-load").exists():
        pytest.skip(f"no {BIN / 'envicutor-load'}")
    system = Up(slots=2)
    try:
        system.fetch()
    except subprocess.CalledProcessError:
        pytest.skip("no packages for Runtimes: Debian's archive cannot be reached")
    own_network()
    try:
        system.start()
        system.apply_runtime(LOAD_RUNTIME)
        yield system
    finally:
        system.stop()
