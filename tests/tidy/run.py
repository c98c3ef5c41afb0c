#!/usr/bin/env python3
"""clang-tidy over every C++ source that is shipped:   tests/tidy/run.py [--seconds N] [--tests] [FILE...]

Findings go to stdout, each once; the last line counts the files. Ends with 1 on a finding.
A file found clean is remembered in ~/.cache/envicutor/tidy until it, a header of the project that it
includes, its compiler flags, .clang-tidy or clang-tidy change. With --seconds, no file is begun after that:
what the last commits changed comes first, and what was left is said.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import time

from remembered import Remembered, include_folder, must, sh

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/tidy"
RECENT_COMMITS = 20
FILE_SECONDS = 300
FINDING = re.compile(r"^(.+?:\d+:\d+: )(?:warning|error): ")
NAMED_NOLINT = re.compile(r"NOLINT(NEXTLINE|BEGIN|END)?\([\w.,\- ]+\)(: \S.*)?")
UNIMPORTANT = re.compile(r"-(o|c|g.*|W.*|f(stack|no-omit).*)$")
# There are none, and where there may be clang-tidy preprocesses all headers twice.
NO_MODULES = ["-Xclang", "-fno-cxx-modules"]


def flags_of_sources():
    """The compiler flags of each source in git, without output, warnings and debugging."""
    must("cmake", "-S", ".", "-B", str(BUILD), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug")
    tracked = {name for name in must("git", "ls-files", "*.cpp").split() if (ROOT / name).exists()}
    flags = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        name = os.path.relpath(entry["file"], ROOT)
        words = shlex.split(entry["command"])
        words = words[next(i for i, word in enumerate(words) if word.startswith("-")):]
        if name in tracked:
            flags.setdefault(name, [word for word, before in zip(words, [""] + words)
                                    if before not in ("-o", "-c") and not UNIMPORTANT.match(word)])
    unbuilt = sorted(tracked - set(flags) - {"tests/tidy/scope.cpp"})
    if unbuilt:
        sys.exit(f"tidy: no CMakeLists.txt builds {', '.join(unbuilt)}: add a target or remove the files")
    return flags


def without_defines(words):
    return tuple(word for word in words if not word.startswith("-D"))


def common_flags(flags):
    """The flags of most sources and all macros that have one value: what the precompiled header is made with."""
    bases = [without_defines(words) for words in flags.values()]
    common = max(set(bases), key=bases.count)
    values = {}
    for words in flags.values():
        for word in words if without_defines(words) == common else ():
            if word.startswith("-D"):
                values.setdefault(word.split("=")[0], set()).add(word)
    # A macro that holds a path is one file's own.
    return [*common, *sorted(value.pop() for value in values.values()
                             if len(value) == 1 and "/" not in next(iter(value)))]


def unnamed_nolints():
    """NOLINT names its check and gives its reason."""
    found = []
    for line in sh("git", "grep", "-n", "NOLINT", "--", "*.cpp", "*.h").stdout.splitlines():
        match = NAMED_NOLINT.search(line)
        if not match or not (match.group(2) or match.group(1) == "END"):
            where = ":".join(line.split(":")[:2])
            found.append(f"{where}: error: NOLINT without a check's name and a reason: // NOLINT(check-name): why")
    return found


class Runner:
    """Looks at one source; any number at once."""

    def __init__(self, flags):
        self.flags = flags
        self.common = common_flags(flags)
        self.scope, self.precompiled = BUILD / "scope.so", BUILD / "precompiled.pch"
        self.lock = threading.Lock()
        self.seen = set()

    def prepare(self):
        source = ROOT / "tests/tidy/scope.cpp"
        commands = [["clang++", "-x", "c++-header", *self.common, *NO_MODULES, "-fpch-instantiate-templates",
                     "tests/tidy/precompiled.h", "-o", str(self.precompiled)]]
        if not self.scope.exists() or self.scope.stat().st_mtime < source.stat().st_mtime:
            commands.append(["c++", "-std=c++17", "-shared", "-fPIC", "-fno-rtti", "-isystem", include_folder(),
                             str(source), "-o", str(self.scope)])
        making = [subprocess.Popen(command, cwd=ROOT) for command in commands]
        if any([process.wait() for process in making]):
            self.scope.unlink(missing_ok=True)
            sys.exit("tidy: tests/tidy/scope.cpp or precompiled.h does not compile")

    def look(self, name):
        """(clean, the lines that were not printed for another source before)."""
        words = self.flags[name]
        if without_defines(words) == without_defines(self.common):
            words = [*self.common, *(word for word in words if word not in self.common),
                     "-include-pch", str(self.precompiled)]
        try:
            done = sh("clang-tidy", "--quiet", f"--load={self.scope}", "--checks=envicutor-scope", name, "--",
                      *words, *NO_MODULES, "-w", timeout=FILE_SECONDS)
        except subprocess.TimeoutExpired:
            return False, [f"{name}: error: clang-tidy did not end within {FILE_SECONDS} s"]
        blocks, fresh = [], []
        for line in done.stdout.splitlines():
            if FINDING.match(line):
                blocks.append([line.replace(f"{ROOT}/", "")])
            elif blocks:
                blocks[-1].append(line)
        with self.lock:
            for block in blocks:
                if block[0] not in self.seen:
                    self.seen.add(block[0])
                    fresh += block[:4]
        if done.returncode and not blocks:
            fresh = [f"{name}: error: clang-tidy ended with {done.returncode}:", *done.stdout.splitlines()[-20:]]
        return done.returncode == 0, fresh


def in_order(names):
    """What the last commits changed, then what is shipped, then tests."""
    log = sh("git", "log", f"-n{RECENT_COMMITS}", "--name-only", "--format=").stdout.split()
    changed = {os.path.splitext(name)[0] for name in log + sh("git", "diff", "--name-only", "HEAD").stdout.split()}
    return sorted(names, key=lambda name: (os.path.splitext(name)[0] not in changed, name.startswith("tests/"), name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no file after this long")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--tests", action="store_true", help="the sources of tests too")
    parser.add_argument("files", nargs="*", help="sources, relative to the top folder; default: what is shipped")
    options = parser.parse_args()
    started = time.monotonic()
    nolints = unnamed_nolints()
    flags = flags_of_sources()
    unknown = [name for name in options.files if name not in flags]
    if unknown:
        sys.exit(f"tidy: not a source in git: {', '.join(unknown)}")
    names = options.files or sorted(n for n in flags if options.tests or not n.startswith("tests/"))
    remembered = Remembered(names, flags)
    todo = in_order(name for name in names if not remembered.clean(name))
    print(f"tidy: {len(names)} sources, {len(names) - len(todo)} known to be clean", *nolints, sep="\n", flush=True)
    runner = Runner(flags)
    if todo:
        runner.prepare()

    def work(name):
        return runner.look(name) if time.monotonic() - started < options.seconds else None

    looked, bad, left = 0, 0, []
    above = "\r\x1b[K" if sys.stdout.isatty() else ""
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for name, result in zip(todo, pool.map(work, todo)):
            if result is None:
                left.append(name)
                continue
            clean, lines = result
            looked += 1
            if clean:
                remembered.add(name)
            else:
                bad += 1
            if lines:
                print(above + "\n".join(lines), flush=True)
            if above:
                print(f"{above}{looked}/{len(todo)} {name}", end="", flush=True)
    remembered.forget_the_oldest()
    print(end=above)
    if left:
        print(f"SKIPPED [{len(left)}] tests/tidy: no time was left to look at {len(left)} of {len(names)} sources "
              "with clang-tidy (run tests/run.sh tidy)")
    before = len(names) - len(todo)
    print(f"tidy: {before + looked} of {len(names)} sources looked at, {before} of them in an earlier run")
    counts = {"passed": before + looked - bad, "failed": bad + len(nolints), "skipped": len(left)}
    print(", ".join(f"{n} {word}" for word, n in counts.items() if n), f"in {time.monotonic() - started:.2f}s")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
