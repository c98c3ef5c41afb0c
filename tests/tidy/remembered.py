"""What clang-tidy found clean before, by all that its verdict depends on."""
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "envicutor/tidy"
KEPT = 20000  # verdicts; the oldest go first
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
MADE_OF = [".clang-tidy", "tests/tidy/scope.cpp", "tests/tidy/precompiled.h"]


def sh(*command, **more):
    return subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


def must(*command):
    done = sh(*command)
    if done.returncode:
        sys.exit(f"tidy: {shlex.join(command)} failed:\n{done.stdout}")
    return done.stdout


def include_folder():
    found = sorted(pathlib.Path("/usr/lib").glob("llvm-*/include/clang-tidy"))
    if not found:
        sys.exit("tidy: the headers of clang-tidy are missing: run .ci/install-packages test")
    return str(found[-1].parent)


class Remembered:
    def __init__(self, names, flags):
        self.folder = CACHE / "clean"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.contents = {}
        common = hashlib.sha256(must("clang-tidy", "--version").encode())
        for name in MADE_OF:
            common.update(hashlib.sha256((ROOT / name).read_bytes()).digest())
        self.keys = {name: self._key(name, flags[name], common.copy()) for name in names}

    def clean(self, name):
        return (self.folder / self.keys[name]).exists()

    def add(self, name):
        (self.folder / self.keys[name]).touch()

    def forget_the_oldest(self):
        for path in sorted(self.folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            path.unlink(missing_ok=True)

    def _key(self, name, flags, digest):
        digest.update("\0".join(flags).replace(str(ROOT), ".").encode())
        for one in sorted(self._all_included(name)):
            digest.update(one.encode() + b"\0" + hashlib.sha256(self.contents[one]).digest())
        return digest.hexdigest()

    def _all_included(self, name):
        """The files of the project that `name` includes, itself among them."""
        seen, todo = set(), [name]
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            if one not in self.contents:
                self.contents[one] = (ROOT / one).read_bytes()
            for included in INCLUDE.findall(self.contents[one]):
                beside = os.path.normpath(os.path.join(os.path.dirname(one), included.decode()))
                todo += [path for path in (included.decode(), beside) if (ROOT / path).is_file()]
        return seen
