"""Shells that do not work: what is said, and that it is never called an internal error."""
import harness
from harness import NixTest, build, shell


class BrokenShells(NixTest):
    def test_syntax(self):
        built = build({"shell": "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell {"})
        self.assert_failed(built, "EvaluationFailed", "syntax error", "shell.nix:1:")
        self.assertNotIn("/mnt", built.text)

    def test_undefined(self):
        self.assert_failed(build(shell("pkgs.mkShell { packages = [ pkgs.nosuch ]; }")), "EvaluationFailed", "nosuch")

    def test_unknown_package(self):
        self.assert_failed(build({"packages": ["nosuch.thing"]}), "EvaluationFailed",
                           "nixpkgs has no package nosuch.thing")

    def test_not_a_derivation(self):
        for value, kind in (("[ 1 ]", "list"), ('"text"', "string"), ("{ a = 1; }", "set")):
            self.assert_failed(build({"shell": value}), "EvaluationFailed", "shell.nix must give one derivation", kind)

    def test_build_failure_shows_its_output(self):
        built = build(shell('pkgs.mkShell { packages = [ (pkgs.runCommand "broken" {} "echo the reason; exit 7") ]; }'))
        self.assert_failed(built, "BuildFailed", "broken", "exit code 7", "the reason")
        self.assertIn("the reason", built.message["stage"]["stderr"])
        self.assertEqual(built.message["stage"]["exitStatus"], "RE")

    def test_hook_that_fails(self):
        self.assert_failed(build(shell('pkgs.mkShell { shellHook = "exit 9"; }')), "BuildFailed", "exit code 9")

    def test_hook_that_exits_well(self):
        built = build(shell('pkgs.mkShell { shellHook = "export A=1; exit 0"; }'))
        self.assert_built(built)
        self.assertEqual(built.variables["A"], "1")

    def test_infinite_recursion(self):
        self.assert_failed(build({"shell": "let x = x; in x"}), "EvaluationFailed", "infinite recursion")

    def test_endless_evaluation(self):
        built = build({"shell": "let f = x: f (x + 1); in f 0", "buildTimeout": "3s"})
        self.assertIn(built.outcome, ("TimedOut", "EvaluationFailed", "OutOfMemory"), built.text)
        self.assertLess(built.seconds, 15)

    def test_hook_that_hangs(self):
        built = build({**shell('pkgs.mkShell { shellHook = "sleep 1000"; }'), "buildTimeout": "4s"})
        self.assert_failed(built, "TimedOut", "4s", "building")
        self.assertEqual(built.message["stage"]["limit"], "buildTimeout")
        self.assertLess(built.seconds, 15)

    def test_hook_that_leaves_processes(self):
        built = build(shell('pkgs.mkShell { shellHook = "sleep 1000 & disown; (exec -a x sleep 1000 &); export OK=1"; }'))
        self.assert_built(built)
        self.assertEqual(built.variables["OK"], "1")
        self.assertLess(built.seconds, 60)

    def test_memory_of_evaluation(self):
        built = build({"shell": 'let f = n: if n == 0 then [ "x" ] else let l = f (n - 1); in l ++ l; '
                                "in builtins.deepSeq (f 29) (f 29)", "buildMemory": "256Mi", "buildTimeout": "60s"})
        self.assert_failed(built, "OutOfMemory", "out of memory")

    def test_log_flood(self):
        built = build(shell('pkgs.mkShell { shellHook = "while :; do echo flood flood flood flood; done"; }'),
                      "--max-log", "1Mi")
        self.assertEqual(built.outcome, "BuildFailed", built.text)
        self.assertIn("log", built.text)
        self.assertLess(len(built.log), 3 << 20)

    def test_large_variable(self):
        built = build(shell('pkgs.mkShell { shellHook = "A=$(printf %0200000d 0); export A"; }'))
        self.assertEqual(built.outcome, "BuildFailed", built.text)
        self.assertFalse((harness.STORE / "environments" / built.hash).exists())

    def test_closure_too_large(self):
        built = build({"packages": ["bash", "gnused"]}, "--max-closure", "1Mi", salt="large")
        self.assert_failed(built, "BuildFailed", "more than the maximum 1Mi")
