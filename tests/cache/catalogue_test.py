"""The catalogue's scripts and self-tests of languages that need a real nixpkgs, run with this machine's own tools
where they are installed: a script that does not work anywhere does not work in a box. (Those that are built offline
run for real in tests/e2e.)"""

import os
import shutil
import subprocess

import pytest
import yaml

import harness

CATALOGUE = harness.ROOT / "docs" / "examples" / "runtimes"
TOOLS = {"node": "node", "java": "javac", "go": "go", "rust": "rustc", "haskell": "ghc", "ruby": "ruby", "php": "php",
         "sqlite": "sqlite3"}
PATH = os.environ["PATH"] + ":/usr/local/go/bin"


def load(name):
    return yaml.safe_load((CATALOGUE / "nixpkgs" / f"{name}.yaml").read_text())


def test_everything_is_there():
    assert {f.stem for f in (CATALOGUE / "nixpkgs").glob("*.yaml")} == set(TOOLS)
    offline = {f.stem for f in CATALOGUE.glob("*.yaml")}
    assert offline == {"bash", "python3", "c", "cpp", "tcc"}
    for file in [*CATALOGUE.glob("*.yaml"), *(CATALOGUE / "nixpkgs").glob("*.yaml")]:
        runtime = yaml.safe_load(file.read_text())
        assert runtime["metadata"]["name"] == file.stem
        assert len(runtime["spec"]["selfTests"]) >= 2, file
        verdicts = {test["expect"].get("verdict", "Accepted") for test in runtime["spec"]["selfTests"]}
        assert "Accepted" in verdicts, file
        assert len(verdicts) > 1 or file.parent == CATALOGUE, f"{file}: what works, and what does not"


@pytest.mark.parametrize("name", TOOLS)
def test_scripts_and_self_tests(name, tmp_path):
    if not shutil.which(TOOLS[name], path=PATH):
        pytest.skip(f"{TOOLS[name]} is not installed on this machine")
    spec = load(name)["spec"]
    for number, test in enumerate(spec["selfTests"]):
        box = tmp_path / str(number)
        box.mkdir()
        files = test.get("files") or [{"path": spec["sourceFile"], "content": test["source"]}]
        for file in files:
            (box / file["path"]).write_text(file["content"])
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        env = {"PATH": PATH, "HOME": os.environ.get("HOME", str(home)), "LC_ALL": "C.UTF-8"}

        def bash(script, stdin="", args=()):
            return subprocess.run(["bash", "-c", script, "run", *args], cwd=box, env=env, input=stdin,
                                  capture_output=True, text=True, timeout=300)
        expect = test["expect"]
        if "compile" in spec:
            done = bash(spec["compile"]["script"])
            if expect.get("verdict") == "CompileError":
                assert done.returncode != 0, test["name"]
                continue
            assert done.returncode == 0, f"{test['name']}: {done.stderr}"
        done = bash(spec["run"]["script"], test.get("stdin", ""), test.get("args", []))
        if "stdout" in expect:
            assert done.stdout == expect["stdout"], f"{test['name']}: {done.stderr}"
        assert done.returncode == expect.get("exitCode", 0), f"{test['name']}: {done.stderr}"
