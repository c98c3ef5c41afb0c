"""What this machine must have for Envicutor on a real control plane, and the packages for its Runtimes."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from control_plane import Unavailable

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
PROGRAMS = ("envicutor", "envicutor-operator", "envicutor-executor-agent", "envicutor-builder", "envicutor-pod-init")
CLONE_NEWNET = 0x40000000


def own_network():
    """This process and its children get a network of their own, with loopback only: pods' addresses
    (127.77.0.N) and ports of another Envicutor on this machine cannot be in the way. Unavailable."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise Unavailable(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def check():
    """Unavailable, saying what is missing."""
    if os.geteuid() != 0:
        raise Unavailable("sandboxes need root")
    for tool in ("openssl", "kubectl", "ip", "nix-build"):
        if not shutil.which(tool):
            raise Unavailable(f"no {tool}")
    for program in PROGRAMS:
        if not (BIN / program).exists():
            raise Unavailable(f"no {BIN / program}")


def nixpkgs_in(store):
    """Fetches nixpkgs into the folder `store`; its path as a builder pod sees it. Unavailable."""
    fetch = BIN.parent / "share" / "envicutor" / "nixpkgs" / "fetch"
    if not fetch.exists():
        fetch = ROOT / "standalone" / "nixpkgs" / "fetch"
    done = subprocess.run([fetch, store / "nixpkgs"], capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable("no packages for Runtimes: " + (done.stderr.strip().splitlines() or ["?"])[-1])
    return "/var/lib/envicutor/store" + done.stdout.strip()[len(str(store)):]
