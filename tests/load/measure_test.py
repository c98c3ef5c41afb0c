"""The measuring itself, with little of everything: each part ends and is in the report. No speed."""

import json
import os
import shutil
import subprocess

from system import BIN, ROOT

PARTS = ["spawn", "bare", "low", "high", "against", "open", "agent", "restart"]


def test_every_part_reports_beside_its_baseline(up, tmp_path):
    data = tmp_path / "data"  # the packages that `up` fetched: there is no network any more
    shutil.copytree(up.data / "store" / "nixpkgs", data / "store" / "nixpkgs", symlinks=True)
    report = tmp_path / "report.json"
    done = subprocess.run(
        [ROOT / "tests" / "load" / "run.sh", "--scale", "0.01", "--parts", ",".join(PARTS), "--json", report],
        env={**os.environ, "ENVICUTOR_BIN": str(BIN), "ENVICUTOR_LOAD_DATA": str(data)}, text=True,
        capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(report.read_text())
    assert set(PARTS) <= set(figures)
    turns = figures["against"]["rounds"]
    assert len(turns) >= 3
    for turn in turns:
        assert turn["pairs"]["pairs"] == turn["submissions"]["submissions"]  # as many objects on both sides
        assert turn["submissions"]["verdicts"] == {"Accepted": turn["submissions"]["submissions"]}
    assert figures["restart"]["verdicts"] == {"Accepted": figures["restart"]["queued"]}
    for baseline in ("bare create + patch", "bare pairs a second, by turns", "of the CPUs: p99 against p50"):
        assert baseline in done.stdout


def test_a_part_that_is_not_there_is_named(tmp_path):
    done = subprocess.run([ROOT / "tests" / "load" / "run.sh", "--parts", "bare,hgih"], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 2
    assert '"hgih" is not one of spawn, bare' in done.stderr
