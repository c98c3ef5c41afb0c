"""What API.md promises of a Submission, used as a person would."""

import base64
import io
import json
import subprocess
import tarfile
import time
import zipfile

import pytest

from harness import BIN, differences, of, output, submission, unique
from waiting import until


def status(cluster, spec, **kwargs):
    return cluster.run_one(spec, **kwargs)["status"]


# Reading a result ------------------------------------------------------------------------------------


def test_kubectl_wait_and_columns(cluster):
    name = unique("cols")
    cluster.create([submission(name, of("python3", "print('hi')"))])
    cluster.kubectl("wait", "--for=condition=Finished", f"submission/{name}", "--timeout=60s")
    table = cluster.kubectl("get", "submissions").stdout.splitlines()
    assert table[0].split() == ["NAME", "RUNTIME", "PHASE", "VERDICT", "CPU", "MEMORY", "AGE"], table[0]
    row = [r for r in table if r.startswith(name + " ")][0].split()
    assert row[1:4] == ["python3", "Completed", "Accepted"]


def test_short_names_and_category(cluster):
    for name in ("subm", "rt", "ep", "envicutor"):
        cluster.kubectl("get", name)


def test_explain_teaches(cluster):
    text = cluster.kubectl("explain", "submission.spec").stdout
    for field in ("runtimeRef", "source", "files", "tests", "activeDeadlineSeconds"):
        assert field in text
    limits = cluster.kubectl("explain", "submission.spec.run.limits").stdout
    assert "wallTime" in limits and "extraTime" in limits


def test_bookkeeping(cluster):
    s = status(cluster, of("bash", "echo a; echo b >&2; exit 3"))
    assert (s["phase"], s["verdict"]) == ("Completed", "RuntimeError")
    conditions = {c["type"]: c for c in s["conditions"]}
    assert conditions["Admitted"]["status"] == "True"
    assert conditions["Finished"]["status"] == "True"
    assert (conditions["Succeeded"]["status"], conditions["Succeeded"]["reason"]) == ("False", "RuntimeError")
    run = s["stages"]["run"]
    assert (run["exitStatus"], run["exitCode"]) == ("RE", 3)
    assert (run["stdout"], run["stderr"], run["stdoutBytes"], run["stderrBytes"]) == ("a\n", "b\n", 2, 2)
    assert "exitSignal" not in run and "stdoutEncoding" not in run
    assert run["memoryBytes"] > 0 and run["wallTimeMillis"] >= 0
    assert s["attempt"] == 1 and s["executor"]["pod"] and s["executor"]["node"]
    assert s["startTime"] and s["completionTime"] and s["queueMillis"] >= 0 and s["overheadMillis"] >= 0
    assert s["message"]


def test_selectable_fields(cluster):
    name = cluster.run_one(of("bash", "exit 7"))["metadata"]["name"]
    picked = cluster.kubectl("get", "submissions", "--field-selector",
                             "status.verdict=RuntimeError,spec.runtimeRef.name=bash", "-o", "name").stdout
    assert f"/{name}" in picked
    other = cluster.kubectl("get", "submissions", "--field-selector", "status.verdict=Accepted", "-o",
                            "name").stdout
    assert f"/{name}\n" not in other


# Endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime,source,limits,expect", [
    ("bash", "kill -9 $$", {}, {"exit_signal": 9, "verdict": "Signaled"}),
    ("bash", "kill -STOP $$", {"wallTime": "1s"}, {"verdict": "TimeLimitExceeded", "wall_max": 1.4}),
    ("bash", "sleep 30", {"wallTime": "700ms"}, {"verdict": "TimeLimitExceeded", "wall_max": 1.1}),
    ("bash", "while :; do :; done", {"cpuTime": "300ms"}, {"verdict": "TimeLimitExceeded", "cpu_max": 0.5}),
    ("python3", "x = 'a' * (400 << 20)", {"memory": "64Mi"}, {"verdict": "MemoryLimitExceeded"}),
    ("bash", "head -c 100000 /dev/zero | tr '\\0' x", {"maxStdout": "1000"},
     {"verdict": "OutputLimitExceeded", "stdout_len": 1000}),
    ("bash", "exec ./nothing", {}, {"verdict": "RuntimeError", "exit_code_any": [126, 127]}),
    ("bash", "sleep 100 & setsid sleep 100 & echo done", {}, {"verdict": "Accepted", "stdout": "done\n"}),
], ids=["signal", "stopped", "wall", "cpu", "memory", "output", "exec", "daemons"])
def test_endings(cluster, runtime, source, limits, expect):
    s = status(cluster, of(runtime, source, run={"limits": limits}))
    assert not differences(expect, s), s


def test_a_time_out_names_its_limit(cluster):
    wall = status(cluster, of("bash", "sleep 9", run={"limits": {"wallTime": "300ms"}}))["stages"]["run"]
    cpu = status(cluster, of("bash", "while :; do :; done", run={"limits": {"cpuTime": "200ms"}}))["stages"]["run"]
    assert (wall["limit"], cpu["limit"]) == ("wallTime", "cpuTime")
    assert wall["exitStatus"] == cpu["exitStatus"] == "TO"


def test_extra_time_shows_the_true_time(cluster):
    # From its own start: the process's clock goes on over exec, and holds what the sandbox spent before.
    source = ("import time\nbegin = time.process_time()\n"
              "while time.process_time() - begin < 0.6: pass\nprint('end')")
    s = status(cluster, of("python3", source, run={"limits": {"cpuTime": "300ms", "extraTime": "3s"}}))
    assert s["verdict"] == "TimeLimitExceeded"
    # A tick of a User-Mode-Linux machine is 10 ms.
    assert s["stages"]["run"]["cpuTimeMillis"] >= 580 and output(s["stages"]["run"]) == b"end\n"


def test_stdin_args_env(cluster):
    s = status(cluster, of("bash", 'cat; printf "%s|" "$@"; echo "$COLOUR $HOME $PWD"',
                           run={"stdin": "in\n", "args": ["a b", "", "*"],
                                "env": [{"name": "COLOUR", "value": "red"}]}))
    assert output(s["stages"]["run"]) == b"in\na b||*|red /tmp /box\n"


def test_merge_stderr(cluster):
    run = status(cluster, of("bash", "echo 1; echo 2 >&2; echo 3", run={"mergeStderr": True}))["stages"]["run"]
    assert run["stdout"] == "1\n2\n3\n" and run.get("stderr", "") == ""


def test_cpp_compiles_and_a_second_time_comes_from_the_cache(cluster):
    source = f'#include <iostream>\nint main() {{ std::cout << "{unique("c")}"; }}'
    first, second = status(cluster, of("cpp", source)), status(cluster, of("cpp", source))
    assert first["verdict"] == second["verdict"] == "Accepted"
    assert first["stages"]["compile"]["exitStatus"] == "OK"
    assert not first.get("compileCached", False)


def test_compile_error(cluster):
    s = status(cluster, of("c", "int main(void) { return x; }"))
    assert s["verdict"] == "CompileError" and "run" not in s["stages"]
    assert "undeclared" in s["stages"]["compile"]["stderr"]


# Files ------------------------------------------------------------------------------------------------


def test_files_and_output_files(cluster):
    s = status(cluster, of("bash", outputFiles=["out/result.txt", "raw.bin", "missing", "link"], files=[
        {"path": "main.sh", "content": "mkdir out; ./tool > out/result.txt; printf '\\377' > raw.bin; ln -s /etc/passwd link"},
        {"path": "tool", "content": base64.b64encode(b"#!/bin/sh\necho tooled\n").decode(),
         "encoding": "base64", "executable": True}]))
    assert s["verdict"] == "Accepted", s
    files = {f["path"]: f for f in s["outputFiles"]}
    assert files["out/result.txt"]["content"] == "tooled\n"
    assert base64.b64decode(files["raw.bin"]["content"]) == b"\xff" and files["raw.bin"]["encoding"] == "base64"
    assert "root:" not in files.get("link", {}).get("content", "")


def zipped(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, text in files.items():
            z.writestr(name, text)
    return base64.b64encode(data.getvalue()).decode()


def tarred(files):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as t:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            t.addfile(info, io.BytesIO(text.encode()))
    return base64.b64encode(data.getvalue()).decode()


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archive(cluster, pack):
    s = status(cluster, of("bash", archive={"content": pack({"main.sh": "cat d/e.txt", "d/e.txt": "deep\n"})}))
    assert s["verdict"] == "Accepted" and output(s["stages"]["run"]) == b"deep\n", s
    assert s["stages"]["extract"]["exitStatus"] == "OK"


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_archive_that_leaves_the_box(cluster, pack):
    s = status(cluster, of("bash", archive={"content": pack({"../../evil": "x", "main.sh": "true"})}))
    assert s["verdict"] == "ExtractError" and "run" not in s["stages"], s


def test_input_from_a_config_map(cluster):
    label, plain = unique("cm"), unique("cm")
    cluster.kubectl("create", "configmap", label, "--from-literal=in=from the map")
    cluster.kubectl("label", "configmap", label, "envicutor.io/input=true")
    cluster.kubectl("create", "configmap", plain, "--from-literal=in=private")
    ref = lambda name: {"configMapKeyRef": {"name": name, "key": "in"}}  # noqa: E731
    s = status(cluster, of("bash", "cat", run={"stdinFrom": ref(label)}))
    assert output(s["stages"]["run"]) == b"from the map"
    s = status(cluster, of("bash", "cat", run={"stdinFrom": ref(plain)}), timeout=120)
    assert s["phase"] == "Failed" and "envicutor.io/input" in s["message"], s


# Tests ------------------------------------------------------------------------------------------------

SUM = "#include <cstdio>\nint main() { int a, b; scanf(\"%d %d\", &a, &b); printf(\"%d \\n\\n\", a + b); }"


def test_tests_compile_once_and_compare(cluster):
    s = status(cluster, of("cpp", SUM, tests=[
        {"name": "one", "stdin": "1 2", "expectedStdout": "3\n"},
        {"name": "two", "stdin": "2 2", "expectedStdout": "5\n"},
        {"name": "three", "stdin": "1 1", "expectedStdout": "2", "comparison": "exact"},
        {"name": "four", "stdin": "9 1", "expectedStdout": "10"}]))
    assert s["verdict"] == "WrongAnswer" and s["stages"]["compile"]["exitStatus"] == "OK"
    assert [(t["name"], t["verdict"]) for t in s["tests"]] == [
        ("one", "Accepted"), ("two", "WrongAnswer"), ("three", "WrongAnswer"), ("four", "Accepted")]
    assert s["tests"][0]["run"]["exitCode"] == 0


def test_results_beyond_an_objects_limit_are_cut_and_say_so(cluster):
    written = 150_000
    spec = of("bash", f"head -c {written} /dev/zero | tr '\\0' \"$1\"",
              tests=[{"name": f"t{i}", "args": ["x"]} for i in range(16)])
    spec["run"] = {"limits": {"maxStdout": "256Ki"}}
    status = cluster.run_one(spec)["status"]
    assert (status["phase"], status["verdict"]) == ("Completed", "Accepted"), status.get("message")
    runs = [test["run"] for test in status["tests"]]
    assert len(runs) == 16 and all(run["stdoutBytes"] == written for run in runs)
    assert len(json.dumps(status)) < 1 << 20
    for run in runs:  # what is kept is the beginning, and what is cut is flagged
        assert set(run["stdout"]) <= {"x"}
        assert run.get("stdoutTruncated", False) == (len(run["stdout"]) < written)
    assert any(run.get("stdoutTruncated") for run in runs)


def test_stop_on_first_failure(cluster):
    s = status(cluster, of("bash", "cat", stopOnFirstFailure=True, tests=[
        {"name": "a", "stdin": "x", "expectedStdout": "y"}, {"name": "b", "stdin": "x", "expectedStdout": "x"}]))
    assert s["verdict"] == "WrongAnswer"
    assert s["tests"][0]["verdict"] == "WrongAnswer"
    assert len(s["tests"]) == 1 or "run" not in s["tests"][1]


def test_tests_do_not_see_each_other(cluster):
    s = status(cluster, of("bash", "cat mark 2>/dev/null; cat /tmp/mark 2>/dev/null; echo x | tee mark > /tmp/mark; echo end",
                           tests=[{"name": n, "expectedStdout": "end"} for n in "abc"]))
    assert s["verdict"] == "Accepted", s["tests"]


# Environments -----------------------------------------------------------------------------------------

SHELL = """{ pkgs ? import <nixpkgs> {} }:
pkgs.mkShell {
  packages = [ pkgs.bash pkgs.coreutils pkgs.gnugrep ];
  GREETING = "from the shell";
  shellHook = "export HOOKED=yes";
}
"""


def test_inline_environment(cluster):
    s = status(cluster, {"environment": {"shell": SHELL},
                         "run": {"script": 'echo "$GREETING $HOOKED" | grep -o "shell yes"'}}, timeout=300)
    assert s["verdict"] == "Accepted" and output(s["stages"]["run"]) == b"shell yes\n", s
    assert s["stages"]["environment"]["exitStatus"] == "OK"


def test_broken_environment_is_the_users(cluster):
    s = status(cluster, {"environment": {"shell": "{ this is not nix"}, "run": {"script": "true"}}, timeout=300)
    assert (s["phase"], s["verdict"]) == ("Completed", "EnvironmentError"), s
    assert "syntax error" in s["stages"]["environment"]["stderr"], s


def test_extra_packages(cluster):
    spec = of("bash", "echo a1b | sed s/1/2/", extraPackages=["gnused"])
    s = status(cluster, spec, timeout=300)
    assert s["verdict"] == "Accepted" and output(s["stages"]["run"]) == b"a2b\n", s


def test_only_the_closure_is_visible(cluster):
    s = status(cluster, of("bash", "cd /nix/store && for p in *; do case $p in *python3*) echo leak;; esac; done; echo seen"))
    assert output(s["stages"]["run"]) == b"seen\n", s


# Life -------------------------------------------------------------------------------------------------


def wait_phase(cluster, name, phase, timeout=60):
    """Its status then: told by a watch, so that nothing of a short phase is missed."""
    cluster.kubectl("wait", f"submission/{name}", f"--for=jsonpath={{.status.phase}}={phase}", f"--timeout={timeout}s",
                    timeout=timeout + 30)
    return cluster.get("submission", name)["status"]


def test_progress_and_cancel(cluster):
    name = unique("cancel")
    cluster.create([submission(name, of("bash", "sleep 9"))])
    wait_phase(cluster, name, "Running")
    cluster.kubectl("patch", "submission", name, "--type=merge", "-p", '{"spec":{"cancel":true}}')
    got = wait_phase(cluster, name, "Cancelled", 15)
    assert {c["type"]: c["status"] for c in got["conditions"]}["Finished"] == "True"


def test_cancel_only_goes_one_way(cluster):
    name = unique("oneway")
    cluster.create([submission(name, of("bash", "true", cancel=True))])
    back = cluster.kubectl("patch", "submission", name, "--type=merge", "-p", '{"spec":{"cancel":false}}',
                           check=False)
    assert back.returncode != 0, "cancel went from true to false"
    wait_phase(cluster, name, "Cancelled")


def test_delete_while_running_stops_it(cluster):
    name = unique("delete")
    cluster.create([submission(name, of("bash", "sleep 9"))])
    wait_phase(cluster, name, "Running")
    started = time.monotonic()
    cluster.kubectl("delete", "submission", name, "--wait=true", timeout=60)
    assert time.monotonic() - started < 8, "deleting waited for the program"
    assert status(cluster, of("bash", "echo free"))["verdict"] == "Accepted"


def test_deadline_counts_queueing(cluster):
    s = status(cluster, of("bash", "sleep 9", activeDeadlineSeconds=1))
    assert (s["phase"], s["reason"]) == ("Failed", "DeadlineExceeded"), s


def test_ttl_deletes(cluster):
    # Long enough to be seen finished by a poll.
    name = cluster.run_one(of("bash", "true", ttlSecondsAfterFinished=5))["metadata"]["name"]
    cluster.kubectl("wait", "--for=delete", f"submission/{name}", "--timeout=30s")


def test_a_submission_waits_for_its_runtime_to_appear(cluster):
    runtime, name = unique("late"), unique("early")
    cluster.create([submission(name, of(runtime, "echo late"))])
    bash = cluster.get("runtime", "bash")["spec"]
    cluster.apply_runtime({"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime",
                           "metadata": {"name": runtime}, "spec": {**bash, "selfTests": []}})
    done = cluster.wait_finished([name])[name]["status"]
    assert done["verdict"] == "Accepted", done
    cluster.kubectl("delete", "runtime", runtime, timeout=60)


def test_runtime_edit_keeps_the_old_one_serving(cluster):
    runtime = unique("edit")
    base = cluster.get("runtime", "bash")["spec"]
    spec = {**base, "selfTests": []}
    obj = {"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": runtime}, "spec": spec}
    cluster.apply_runtime(obj)
    broken = {**spec, "environment": {"shell": "{ no nix"}}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({**obj, "spec": broken}))

    def refused():
        built = [c for c in cluster.get("runtime", runtime)["status"]["conditions"] if c["type"] == "Built"]
        return built and built[0]["status"] == "False" and built[0].get("observedGeneration") == 2
    until(refused, 60, "the broken edit is refused")
    assert status(cluster, of(runtime, "echo old"))["verdict"] == "Accepted"
    cluster.kubectl("delete", "runtime", runtime, timeout=60)


def test_failed_self_test_says_which(cluster):
    runtime = unique("selftest")
    base = cluster.get("runtime", "bash")["spec"]
    spec = {**base, "selfTests": [{"name": "wrong", "source": "echo actual", "expect": {"stdout": "wanted\n"}}]}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(
        {"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": runtime}, "spec": spec}))
    cluster.kubectl("wait", f"runtime/{runtime}", "--for=jsonpath={.status.phase}=Failed", "--timeout=90s")
    test = cluster.get("runtime", runtime)["status"]["selfTests"][0]
    assert test["name"] == "wrong" and test["passed"] is False and "actual" in test["message"], test
    cluster.kubectl("delete", "runtime", runtime, timeout=60)


# The command line -------------------------------------------------------------------------------------


def envicutor(cluster, *args, stdin=None):
    return subprocess.run([BIN / "envicutor", *map(str, args), "--kubeconfig", cluster.kubeconfig],
                          input=stdin, capture_output=True, timeout=120)


def test_envicutor_run(cluster, tmp_path):
    program, text = tmp_path / "hello.py", tmp_path / "in.txt"
    program.write_text("import sys\nprint(input(), sys.argv[1:])\nprint('e', file=sys.stderr)\nsys.exit(5)\n")
    text.write_text("line\n")
    done = subprocess.run([BIN / "envicutor", "run", "--kubeconfig", cluster.kubeconfig, program, "--stdin", text,
                           "--limit", "wallTime=5s", "--", "-x", "y z"], capture_output=True, timeout=120)
    assert done.returncode == 5, done
    assert done.stdout == b"line ['-x', 'y z']\n" and b"e\n" in done.stderr


def test_envicutor_run_says_what_is_wrong(cluster, tmp_path):
    program = tmp_path / "hello.py"
    program.write_text("print(1)")
    done = envicutor(cluster, "run", program, "--limit", "wallTime=99h")
    assert done.returncode not in (0, 1) and b"more than the maximum" in done.stderr, done


def test_pods_logs_and_metrics(cluster):
    pods = cluster.list("pods", "envicutor-executors", "app.kubernetes.io/component=executor")
    assert pods and all(p["status"]["phase"] == "Running" for p in pods)
    log = cluster.kubectl("logs", "-n", "envicutor-executors", pods[0]["metadata"]["name"], "--tail=5").stdout
    assert log.strip(), "an executor's log is empty"
