#!/usr/bin/env python3
"""Every test that docs/guarantees.md and docs/threat-model.md name exists."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "tests"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    there = set()
    for file in files:
        if not file.endswith((".cpp", ".py")) or not (ROOT / file).is_file():
            continue
        text = (ROOT / file).read_text()
        there |= set(re.findall(r"def (test_\w+)\(", text))
        there |= {f"{a}.{b}" for a, b in re.findall(r"TEST(?:_P|_F)?\(\s*(\w+),\s*(\w+)\)", text)}
    wanted = set(re.findall(r"`(test_\w+|[A-Z]\w+\.[A-Z]\w+)`", (ROOT / "docs/guarantees.md").read_text()))
    for cells in re.findall(r"^\|.*\|.*\|(.*)\|$", (ROOT / "docs/threat-model.md").read_text(), re.M):
        for name in re.findall(r"[A-Z][A-Za-z.]{8,}(?=[,… ]|$)(?!…)", cells):
            wanted.add(name if "." in name else f"Conformance.{name}")
    prefixes = {w[:-1] for w in wanted if w.endswith("…")}
    missing = sorted(w for w in wanted if w not in there and w not in prefixes)
    for name in missing:
        print(f"docs name a test that is not there: {name}")
    print(f"guarantees: {len(wanted)} tests named, {len(missing)} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
