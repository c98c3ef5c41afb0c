"""programs.json: every sample program, submitted with kubectl, gives the result it must."""

import json
from pathlib import Path

import pytest

from harness import differences, of, unique

PROGRAMS = json.loads((Path(__file__).parent / "programs.json").read_text())

# B10's note says which scripts its Runtime has.
CUSTOM = {
    "B10": {"compile": {"script": "gcc -c main.c"}, "run": {"script": "exec ./main"}},
}


@pytest.fixture(scope="module")
def custom_runtimes(cluster):
    c = cluster.get("runtime", "c")["spec"]
    for program, scripts in CUSTOM.items():
        spec = {"environment": c["environment"], "sourceFile": "main.c",
                "compile": {**c.get("compile", {}), **scripts["compile"]}, "run": scripts["run"]}
        cluster.apply_runtime({"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime",
                               "metadata": {"name": f"custom-{program.lower()}"}, "spec": spec})


def specs_of(program):
    runtime = program["runtime"]
    if runtime == "custom":
        runtime = f"custom-{program['id'].lower()}"
    for step in program.get("steps") or [{}]:
        spec = of(runtime, **json.loads(json.dumps(program["spec"])))
        run = spec.setdefault("run", {})
        if "args" in step:
            run["args"] = step["args"]
        if "limits" in step:
            run["limits"] = {**run.get("limits", {}), **step["limits"]}
        if "stdin" in step:
            run["stdin"] = step["stdin"]
        yield spec, step.get("expect") or program.get("expect", {})


@pytest.mark.parametrize("program", PROGRAMS, ids=[p["id"] for p in PROGRAMS])
def test_program(cluster, custom_runtimes, program):
    pairs = list(specs_of(program))
    beside = None
    if program["id"] == "E10":  # its note: beside an innocent submission, which must finish normally
        beside = of("bash", "sleep 2; echo innocent")
    specs = [s for s, _ in pairs] + ([beside] if beside else [])

    def once():
        if program.get("parallel") or beside:
            done = cluster.run(*specs, prefix=program["id"].lower())
        else:
            done = [cluster.run_one(s, prefix=program["id"].lower()) for s in specs]
        wrong = []
        for (_, expect), result in zip(pairs, done):
            status = result["status"]
            assert status["phase"] == "Completed", status
            wrong += differences(expect, status)
        if beside:
            wrong += differences({"verdict": "Accepted", "stdout": "innocent\n"}, done[-1]["status"])
        return wrong

    wrong = once()
    if wrong and all(w.startswith(("cpu ", "wall ")) and " > " in w for w in wrong):
        # Too much time measured, and nothing else: User-Mode Linux has no notion of time stolen from it, so
        # what the host did meanwhile is charged to the program. A real fault shows again. Too little is one.
        wrong = once()
    assert not wrong, wrong
