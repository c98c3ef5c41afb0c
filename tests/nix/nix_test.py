#!/usr/bin/env python3
"""The builder with the real Nix: environments of standalone/nixpkgs, and shells that mean harm.

    tests/nix/nix_test.py --builder BUILD/bin/envicutor-builder [--keep DIR] [-k PATTERN]

Needs root, nix-bin, nginx, apt (for the .debs; kept in --keep and used again). Everything else is in a temporary
folder that is removed at the end. Prints how long each environment took. Exit code 77: skipped.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import harness


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--builder", required=True)
    parser.add_argument("--keep", help="folder for the .debs, used again")
    parser.add_argument("-k", action="append", dest="patterns")
    arguments = parser.parse_args()
    if os.geteuid() != 0 or not all(map(shutil.which, ("nix-daemon", "apt-get", "nginx", "openssl"))):
        print("SKIPPED: needs root, nix-bin, nginx, openssl and apt")
        return 77
    harness.BUILDER = str(Path(arguments.builder).resolve())
    temporary = Path(tempfile.mkdtemp(prefix="envicutor-nix-test-"))
    try:
        debs = Path(arguments.keep).resolve() if arguments.keep else temporary / "nixpkgs"
        start = time.monotonic()
        harness.NIXPKGS = subprocess.run([str(harness.FETCH), str(debs)], check=True, stdout=subprocess.PIPE,
                                         text=True).stdout.strip()
        harness.TIMES.append(("fetch of the .debs", time.monotonic() - start, 0))
        harness.STORE = temporary / "store"
        loader = unittest.TestLoader()
        loader.testNamePatterns = [f"*{p}*" for p in arguments.patterns] if arguments.patterns else None
        suite = unittest.TestSuite(loader.loadTestsFromName(name)
                                   for name in ("environments_test", "broken_test", "hostile_test", "cache_test"))
        result = unittest.TextTestRunner(verbosity=2).run(suite)
        for name, seconds, size in harness.TIMES:
            print(f"{name}: {seconds:.1f} s" + (f", {size / 1e6:.0f} MB" if size else ""))
        return 0 if result.wasSuccessful() else 1
    finally:
        subprocess.run(["chmod", "-R", "u+w", str(temporary)], check=False)
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
