"""Every sample program once more, on the isolate engine: ISOLATE=/path/of/isolate (2.6 or newer)."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import BIN

HERE = Path(__file__).resolve().parent

# isolate is found in PATH, and by the executor in /usr/local/bin of its machine, which sees this one's files:
# shown there in a mount namespace of the run's own, nothing is installed. The network namespace keeps it
# apart from the session's Envicutor.
SCRIPT = """
set -e
cp -a /usr/local/bin/. "$1"
install -m 0755 "$2" "$1/isolate"
mount --bind "$1" /usr/local/bin
ip link set lo up
shift 2
exec "$@"
"""


def test_samples_on_isolate(tmp_path):
    isolate = os.environ.get("ISOLATE")
    if not isolate:
        pytest.skip("ISOLATE=/path/of/isolate is not set: sample programs were not run on isolate")
    assert shutil.which("unshare"), "unshare is needed"
    env = dict(os.environ, ENVICUTOR_E2E_SANDBOX="isolate", PATH="/usr/local/bin:" + os.environ["PATH"])
    env.pop("KUBECONFIG_E2E", None)
    # The packages are fetched here: in there is no network.
    data = Path(tempfile.mkdtemp(prefix="envicutor-e2e-isolate-", dir="/var/tmp"))
    env["ENVICUTOR_E2E_DATA"] = str(data)
    subprocess.run([BIN.parent / "share" / "envicutor" / "nixpkgs" / "fetch", data / "store" / "nixpkgs"],
                   check=True, stdout=subprocess.DEVNULL, timeout=600)
    tools = tmp_path / "bin"
    tools.mkdir()
    select = os.environ.get("ISOLATE_SAMPLES", "test_program")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--propagation", "private", "bash", "-c", SCRIPT, "isolate", tools, isolate,
         sys.executable, "-m", "pytest", HERE / "samples_test.py", "-k", select, "-q"],
        env=env, cwd=HERE, capture_output=True, text=True, timeout=1500)
    shutil.rmtree(data, ignore_errors=True)
    print(done.stdout[-8000:])
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
