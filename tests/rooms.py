#!/usr/bin/env python3
"""Dependencies go one way (docs/architecture.md): refuses an #include against the arrows.

  tests/rooms.py          prints each wrong include; exit status 1 when there is one
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A room may include itself and what is listed. Longest prefix wins.
ALLOWED = {
    "common/base": [],
    "common/http": ["common/base"],
    "common/metrics": ["common/base"],
    "common/kube": ["common/base", "common/http", "common/metrics"],
    "common/api": ["common/base", "common/http", "common/kube", "common/metrics"],
    "operator": ["common"],
    "operator/scheduler": ["common/base", "common/api"],
    "executor-agent": ["common"],
    "executor-agent/cgroup": ["common/base"],
    "executor-agent/sandbox": ["common/base", "common/api", "executor-agent/cgroup"],
    "executor-agent/extract": ["common/base"],
    "executor-agent/journal": ["common/base", "common/api"],
    "standalone": ["common", "operator", "executor-agent"],
    "standalone/apiserver/core": ["common/base", "standalone/apiserver/schema"],
    "standalone/apiserver/schema": ["common/base"],
    "standalone/apiserver": ["common", "standalone/apiserver"],
    "standalone/node": ["common"],
    "tests": ["common", "operator", "executor-agent", "standalone"],
}
# Library headers that live behind one seam only.
ONLY_IN = {"cpprest/": "common/http/", "pplx/": "common/http/", "boost/beast": "common/http/",
           "prometheus/": "common/metrics/"}


def room(path):
    return max((r for r in ALLOWED if path == r or path.startswith(r + "/")), key=len, default=None)


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cpp"], cwd=ROOT,
                           check=True, capture_output=True, text=True).stdout.split()
    wrong = []
    for file in files:
        if not (ROOT / file).is_file():
            continue
        own = room(file)
        for number, line in enumerate((ROOT / file).read_text().splitlines(), 1):
            match = re.match(r'\s*#include\s+(?:"([^"]+)"|<([^>]+)>)', line)
            if not match:
                continue
            quoted, angled = match.groups()
            target = quoted or angled
            for prefix, home in ONLY_IN.items():
                if target.startswith(prefix) and not file.startswith((home, "tests/")):
                    wrong.append(f"{file}:{number}: <{target}> belongs behind {home}")
            if quoted is None or own is None or room(quoted) is None:
                continue
            target_room = room(quoted)
            if target_room != own and not any(
                    quoted.startswith(a + "/") for a in [own, *ALLOWED[own]]):
                wrong.append(f"{file}:{number}: {own} must not include {target_room} ({quoted})")
    for line in wrong:
        print(line)
    print(f"rooms: {len(files)} files, {len(wrong)} includes against the arrows")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
