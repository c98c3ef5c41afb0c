"""A newcomer's way: the marked blocks of the pages, typed into one shell, one after the other.

Run as root where the standard ports are free. ENVICUTOR_E2E_DATA: a data folder to use and keep, e.g. one in which
store/nixpkgs is filled already, for a network namespace without the internet."""

import contextlib
import os
import queue
import re
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from markdown import ROOT, marked, pages, split

BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
BLOCK_SECONDS = 600
START = ROOT / "docs/getting-started.md"
ON_THE_WAY = [ROOT / "docs/tutorial/contest-judge.md", ROOT / "docs/tutorial/own-dependencies.md",
              ROOT / "docs/how-to/add-a-language.md"]


def steps():
    first = [(START, *block) for block in marked(START)]
    for page, mark, *rest in first:
        if mark == "last":
            for other in ON_THE_WAY:
                yield from ((other, *block) for block in marked(other))
        yield (page, mark, *rest)


def named(step):
    return f"{step[0].stem}: {step[2].splitlines()[0][:40]}"


class Shell:
    """One bash that stays; a block that fails ends it, as `set -e` does."""

    def __init__(self, data):
        self.data = data
        self.bash = subprocess.Popen(["bash"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.run("set -euo pipefail")

    def read(self):
        for line in self.bash.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def run(self, text):
        self.bash.stdin.write("{\n" + text + "\n} </dev/null\necho; echo @@done@@\n")
        self.bash.stdin.flush()
        out = []
        while True:
            line = self.lines.get(timeout=BLOCK_SECONDS)
            assert line is not None, f"the block failed:\n{text}\n--\n{''.join(out)}"
            if line.strip() == "@@done@@":
                return "".join(out)
            out.append(line)

    def close(self):
        self.bash.stdin.close()
        self.bash.wait(60)
        if (self.data / "run/up.json").exists():  # a block before the last one failed
            subprocess.run([BIN / "envicutor", "down", "--data-dir", self.data], timeout=120)


@pytest.fixture(scope="module")
def shell():
    given = os.environ.get("ENVICUTOR_E2E_DATA")
    fresh = tempfile.TemporaryDirectory
    with contextlib.nullcontext(given) if given else fresh(prefix="envicutor-docs-", dir="/var/tmp") as data:
        made = Shell(Path(data))
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("step", list(steps()), ids=named)
def test_block(shell, step):
    _, mark, text, wanted = step
    if mark == "setup":  # where the programs and the data are is all that differs from the page
        text = f"export DATA={shell.data}\nexport PATH={BIN}:$PATH"
    out = shell.run(text)
    said = iter([re.sub(r"\s+", " ", line).strip() for line in out.splitlines()])
    for line in wanted:
        assert any(line.strip() == found for found in said), f"{line!r} is not printed (in this order):\n{out}"


def commands():
    """envicutor's command lines of all pages: (page, program and command, flags)."""
    pattern = re.compile(r"(?<![\w/.-])(envicutor(?:-operator|-executor-agent|-builder)?)((?: [a-z][a-z-]+)?)((?: [^|;&\n`]*)?)")
    for page in pages():
        prose, blocks = split(page.read_text())
        for code in blocks + re.findall(r"`([^`\n]+)`", prose):
            for line in code.replace("\\\n", " ").splitlines():
                for program, command, rest in pattern.findall(line.split(" -- ")[0]):
                    flags = re.findall(r"(?<=[ \[])(--[a-z][a-z-]*)", rest)
                    if flags:
                        yield str(page.relative_to(ROOT)), program, command.strip(), flags


def test_flags_of_all_pages_exist():
    helps, wrong = {}, []
    for page, program, command, flags in commands():
        line = [BIN / program] + ([command] if program == "envicutor" and command else []) + ["--help"]
        key = tuple(map(str, line))
        if key not in helps:
            helps[key] = subprocess.run(line, capture_output=True, text=True, timeout=30).stdout
        wrong += [f"{page}: {program} {command} has no {flag}" for flag in flags
                  if flag not in ("--help", "--version") and not re.search(re.escape(flag) + r"\b", helps[key])]
    assert not wrong


def test_every_command_explains_itself_and_prints_for_programs():
    help_text = subprocess.run([BIN / "envicutor", "--help"], check=True, capture_output=True, text=True).stdout
    names = re.findall(r"^  ([a-z-]+) {2,}", help_text, re.M)
    assert {"up", "down", "status", "run", "test-runtimes", "version"} <= set(names)
    for name in names:
        text = subprocess.run([BIN / "envicutor", name, "--help"], check=True, capture_output=True, text=True).stdout
        assert f"Usage:\n  envicutor {name}" in text, name
        if name not in ("apiserver", "node", "setup"):  # servers, and a Job's command
            assert "--output json|yaml" in text, name


@pytest.mark.parametrize("line, says", [
    ("sttaus", "did you mean status?"), ("run --runtme x", "did you mean --runtime?"),
    ("up --output json", "--output needs --detach"), ("status --output xml", "neither json nor yaml"),
    ("run hello.xyz", "say --runtime NAME"), ("run docs/examples/hello.py", "start one with `envicutor up`"),
])
def test_mistakes_say_what_to_do_next(line, says):
    env = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST")}
    if Path("/var/lib/envicutor/kubeconfig").exists() and "hello.py" in line:
        pytest.skip("an Envicutor of this machine is known: /var/lib/envicutor/kubeconfig")
    done = subprocess.run([BIN / "envicutor", *line.split()], cwd=ROOT, env=dict(env, HOME="/nonexistent"),
                          capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and says in done.stderr, done.stderr
