"""What the scheduler and the dispatching cost, in instructions: the same on every machine, so that a change that
makes them dearer shows without a clock."""

import re
import shutil
import subprocess

import pytest

from system import BIN

# 62,000 with Debian 12's compiler at -O2 (release preset), and room for small changes.
INSTRUCTIONS_PER_SUBMISSION = 80_000
EXECUTORS, SUBMISSIONS = 100, 3000


def test_dispatching_costs_no_more_instructions(tmp_path):
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")
    program = BIN / "dispatch_scale"
    if "release" not in str(BIN) or not program.exists():
        pytest.skip("counts are of the release build")

    def count(submissions):
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={tmp_path}/out", program, str(EXECUTORS),
             str(submissions)], capture_output=True, text=True, timeout=300, check=True)
        return int(re.search(r"Collected : (\d+)", done.stderr).group(1))

    each = (count(SUBMISSIONS) - count(100)) / (SUBMISSIONS - 100)
    assert each < INSTRUCTIONS_PER_SUBMISSION, f"{each:.0f} instructions a submission"
