"""Shells and requests that mean harm, and what a killed builder leaves."""
import hashlib
import json
import socket
import subprocess
import tempfile
from pathlib import Path

import harness
from harness import NixTest, build, shell


class HostileShells(NixTest):
    def test_reads_no_file_of_the_host(self):
        for text in ('builtins.readFile "/etc/shadow"', "builtins.readFile /root/.bashrc", "import /etc/hostname",
                     'builtins.readDir "/"', 'builtins.readFile "/mnt/etc/nix.conf"',
                     'builtins.fetchurl "file:///etc/passwd"', 'builtins.fetchGit "/root"'):
            built = build(shell(text))
            self.assertEqual(built.outcome, "EvaluationFailed", f"{text}: {built.text}")
            self.assertIn("restricted mode", built.text, text)

    def test_a_link_in_the_output_is_not_followed(self):
        built = build(shell('pkgs.mkShell { shellHook = "cat /etc/shadow >&2; mkdir $out; '
                            'ln -s /etc/shadow $out/variables; ln -s /etc/shadow $out/shell; chmod 555 $out"; }'))
        self.assertEqual(built.outcome, "BuildFailed", built.text)
        self.assertNotIn("root:", built.log)

    def test_no_network(self):
        fixed = ('derivation { name = "net"; system = "x86_64-linux"; builder = "${pkgs.bash}/bin/bash"; '
                 'args = [ "-c" "exec 3<>/dev/tcp/127.0.0.1/%d && echo reached > $out; exit 1" ]; '
                 'outputHash = "%s"; outputHashAlgo = "sha256"; outputHashMode = "flat"; }')
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            digest = hashlib.sha256(b"reached\n").hexdigest()
            built = build(shell("pkgs.mkShell { NET = %s; }" % (fixed % (listener.getsockname()[1], digest))))
            self.assertEqual(built.outcome, "BuildFailed", built.text)
            with self.assertRaises(BlockingIOError):
                listener.accept()

    def test_fetching_in_evaluation_is_refused(self):
        for text in ('builtins.fetchTarball "https://example.invalid/x.tar.gz"', 'builtins.fetchurl "http://127.0.0.1/x"',
                     'import (fetchTarball "https://example.invalid/x.tar.gz") {}'):
            built = build({"shell": text})
            self.assertEqual(built.outcome, "EvaluationFailed", built.text)
            self.assertIn("forbidden in restricted mode", built.text)

    def test_no_import_from_derivation(self):
        built = build(shell('import (pkgs.writeText "x.nix" "1")'))
        self.assertEqual(built.outcome, "EvaluationFailed", built.text)

    def test_sandbox_stays_on(self):
        built = build(shell('pkgs.mkShell { __noChroot = true; shellHook = "export SEEN=$(echo /*)"; }'))
        self.assert_built(built)
        self.assertNotIn("/home", built.variables["SEEN"])
        self.assertNotIn("/root", built.variables["SEEN"])

    def test_builds_are_not_root(self):
        built = build(shell('pkgs.mkShell { shellHook = "WHO=$(id -u); export WHO; MAP=$(cat /proc/self/uid_map); export MAP"; }'))
        self.assert_built(built)
        self.assertNotEqual(built.variables["WHO"], "0")
        self.assertNotEqual(built.variables["MAP"].split()[1], "0")

    def test_store_is_not_written(self):
        before = {entry.name for entry in (harness.STORE / "nix/store").iterdir()}
        built = build(shell('pkgs.mkShell { shellHook = "echo evil > ${pkgs.bash}/bin/bash; touch /nix/store/evil; '
                            'mkdir /nix/store/00000000000000000000000000000000-evil; :"; }'))
        self.assert_built(built)
        after = {entry.name for entry in (harness.STORE / "nix/store").iterdir()} - before
        self.assertFalse([name for name in after if "evil" in name], after)
        self.assertNotIn(b"evil", next(built.view.glob("*-bash-*/bin/bash")).read_bytes()[:100])

    def test_odd_variables(self):
        built = build(shell("""pkgs.mkShell {
          "A B" = "space"; "X;touch /tmp/pwned" = "no"; LD_X = "$(touch /tmp/pwned)";
          shellHook = "export Q='a\\"b'; f() { :; }; export -f f; name=1; export name";
        }"""))
        self.assert_built(built)
        self.assertEqual(built.variables["LD_X"], "$(touch /tmp/pwned)")
        self.assertEqual(built.variables["Q"], 'a"b')
        self.assertFalse([name for name in built.variables if not name.replace("_", "a").isalnum()])

    def test_hostile_names(self):
        for environment in ({"packages": ["bash; rm -rf /"]}, {"packages": ["../x"]}, {"packages": ["a..b"]},
                            {"packages": ['x" + builtins.readFile "/etc/shadow']}, {"packages": ["${x}"]},
                            {"packages": ["bash"], "shell": "x"}, {}, {"shell": ""}, {"packages": "bash"}):
            built = build(environment)
            self.assertEqual(built.outcome, "EvaluationFailed", str(environment))
        for hash_ in ("../../etc", "A" * 32, " ", "0" * 31):
            self.assertEqual(build({"packages": ["bash"]}, hash_=hash_).code, 1)

    def test_many_processes_end(self):
        built = build({**shell('pkgs.mkShell { shellHook = "f() { sleep 100 & }; i=0; while [ $i -lt 300 ]; do f; i=$((i+1)); done; sleep 100"; }'),
                       "buildTimeout": "8s"})
        self.assertEqual(built.outcome, "TimedOut", built.text)
        self.assertLess(built.seconds, 20)


class Residue(NixTest):
    def test_nothing_stays(self):
        build(shell('pkgs.mkShell { MARK = "residue"; }'))
        self.assertEqual(Path("/nix").exists(), harness.HAD_NIX)
        self.assertFalse((harness.STORE / "build").exists())
        self.assertFalse([p for p in (harness.STORE / "views").iterdir() if p.name.startswith(".")])
        self.assertNotIn(str(harness.STORE), Path("/proc/self/mounts").read_text())

    def test_a_killed_builder_leaves_no_process_and_no_lock(self):
        environment = shell('pkgs.mkShell { shellHook = "sleep 4242"; }')
        with tempfile.TemporaryDirectory() as folder:
            request = Path(folder) / "request.json"
            request.write_text(json.dumps({"hash": "f" * 32, "environment": environment}))
            with subprocess.Popen([harness.BUILDER, "--store", str(harness.STORE), "--request", str(request),
                                   "--nixpkgs", harness.NIXPKGS, "--termination-log", ""],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
                for line in process.stdout:
                    if b"environment.drv'" in line:
                        break
                process.kill()
                process.wait()
                process.stdout.read()  # ends when the last process that holds it is dead
        built = build({"packages": ["bash"]}, salt="after kill")
        self.assert_built(built)
        self.assertLess(built.seconds, 30)
