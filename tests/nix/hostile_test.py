"""Shells and requests that mean harm, and what a killed builder leaves."""
import hashlib
import json
import os
import shutil
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


    def test_forks_without_end(self):
        built = build({**shell('pkgs.mkShell { shellHook = "f() { f | f & }; f; while :; do f; done"; }'), "buildTimeout": "5s"})
        self.assertIn(built.outcome, ("TimedOut", "BuildFailed", "OutOfMemory"), built.text)
        self.assertLess(built.seconds, 60)
        self.assert_built(build({"packages": ["bash"]}, salt="after forks"))

    def test_eats_memory(self):
        built = build({**shell('pkgs.mkShell { shellHook = "a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done"; }'),
                       "buildMemory": "192Mi", "buildTimeout": "60s"})
        self.assert_failed(built, "OutOfMemory", "out of memory", "building")
        self.assertEqual(built.message["stage"]["limit"], "buildMemory")
        self.assertEqual(built.message["stage"]["exitStatus"], "ML")

    def test_eats_memory_in_many_processes(self):
        built = build({**shell('pkgs.mkShell { shellHook = "for i in 1 2 3 4 5 6 7 8; do (a=xxxxxxxxxxxxxxxx; '
                               'while [ \\${#a} -lt 40000000 ]; do a=$a$a; done; sleep 1000) & done; sleep 1000"; }'),
                       "buildMemory": "192Mi", "buildTimeout": "60s"})
        self.assert_failed(built, "OutOfMemory", "out of memory", "building")

    def test_two_of_the_same_name_are_two(self):
        one, two = (build(shell(f'pkgs.mkShell {{ name = "bash-5.2.15-2+b13"; MARK = "{mark}"; }}')) for mark in "ab")
        self.assert_built(one)
        self.assert_built(two)
        self.assertNotEqual(one.environment["storePath"], two.environment["storePath"])
        self.assertEqual((one.variables["MARK"], two.variables["MARK"]), ("a", "b"))
        # A fixed output that claims to be another's content.
        self.assert_failed(build(shell('pkgs.mkShell { X = derivation { name = "bash-5.2.15-2+b13"; system = "x86_64-linux"; '
                                       'builder = "${pkgs.bash}/bin/bash"; args = [ "-c" "echo evil > $out" ]; '
                                       'outputHash = "%s"; outputHashAlgo = "sha256"; outputHashMode = "flat"; }; }'
                                       % hashlib.sha256(b"good\n").hexdigest())), "BuildFailed", "hash mismatch")


class Secrets(NixTest):
    """The signing key is nowhere where a user's code is, whatever that code does."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="envicutor-nix-key-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.key = self.folder / "secret" / "secret-key"
        self.key.parent.mkdir()
        subprocess.run(["nix-store", "--generate-binary-cache-key", "hidden-1", str(self.key), str(self.folder / "public")],
                       check=True, env={**os.environ, "NIX_STATE_DIR": str(self.folder / "state")})
        self.key.chmod(0o444)  # permissions are not what hides it
        self.options = ["--cache-url", f"file://{self.folder}/cache", "--cache-key-file", str(self.key),
                        "--cache-public-keys", (self.folder / "public").read_text().strip()]
        self.secret = self.key.read_text().split(":")[1][:60]

    def test_evaluation(self):
        for text in (f'builtins.readFile "{self.key}"', f"import {self.key}", f'builtins.readDir "{self.key.parent}"',
                     f'builtins.fetchurl "file://{self.key}"', f'builtins.path {{ path = {self.key}; }}'):
            built = build(shell(text), *self.options)
            self.assertEqual(built.outcome, "EvaluationFailed", built.text)
            self.assertNotIn(self.secret, built.log + json.dumps(built.message))

    def test_build_and_hook(self):
        search = (f"cat {self.key}; ls -laR {self.folder}; cat /proc/*/environ /proc/*/cmdline; ls -la /proc/*/fd; "
                  "cat /proc/*/root/%s; cat /etc/envicutor/cache/*; find / -xdev -name secret-key; "
                  "set; env") % str(self.key).lstrip("/")
        built = build(shell(f"""pkgs.mkShell {{ shellHook = "({search}) 2>&1 < /dev/null | tee $NIX_BUILD_TOP/seen; export SEEN=1";
          X = pkgs.runCommand "search" {{}} "({search}) 2>&1 < /dev/null | tee $out"; }}"""), *self.options)
        self.assert_built(built)
        self.assertEqual(built.message["environment"]["signedBy"], "hidden-1")
        self.assertNotIn(self.secret, built.log + json.dumps(built.message))
        found = Path(str(harness.STORE) + built.variables["X"]).read_text()
        self.assertTrue(found)
        self.assertNotIn(self.secret, found)
        self.assertIn("No such file", found)

    def session_during(self, run):
        """Calls run(pid of a process of the session) while a hook sleeps; the result of the build is not wanted."""
        environment = shell('pkgs.mkShell { shellHook = "echo now-sleeping; sleep 4243"; }')
        request = self.folder / "request.json"
        request.write_text(json.dumps({"hash": "e" * 32, "environment": environment}))
        with subprocess.Popen([harness.BUILDER, "--store", str(harness.STORE), "--request", str(request), "--nixpkgs",
                               harness.NIXPKGS, "--termination-log", "", *self.options], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            try:
                for line in process.stdout:
                    if b"environment.drv'" in line:
                        break
                init = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                run(int(init[0]))
            finally:
                process.kill()

    def test_not_even_root_sees_it_in_the_session(self):
        def look(pid):
            self.assertTrue(Path(f"/proc/{pid}/root/mnt/etc/nix.conf").exists())
            self.assertEqual(list(Path(f"/proc/{pid}/root{self.key.parent}").iterdir()), [])
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            self.assertNotIn(self.secret.encode(), environ)
        self.session_during(look)

    def test_the_daemon_takes_nothing_unsigned_and_no_settings(self):
        bash = build({"packages": ["bash"]})
        self.assert_built(bash)
        uri = "unix:///mnt/run/socket?root=/mnt/root"

        def attack(pid):
            def evaluator(*command, **keywords):
                return subprocess.run(["nsenter", "-t", str(pid), "-m", "-p", "setpriv", "--reuid=63999", "--regid=63999",
                                       "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin", "HOME=/mnt/home",
                                       "NIX_CONF_DIR=/mnt/etc", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      timeout=60, **keywords)
            ping = evaluator("nix", "--extra-experimental-features", "nix-command", "store", "ping", "--store", uri)
            self.assertEqual(ping.returncode, 0, ping.stdout)
            # A path of another's name with other content, as an export and as a copy.
            evil = "/nix/store/" + "0" * 32 + "-bash-5.2.15-2+b13"
            nar = b"\r\0\0\0\0\0\0\0nix-archive-1\0\0\0"
            exported = evaluator("nix-store", "--store", uri, "--import", input=(1).to_bytes(8, "little") + nar)
            self.assertNotEqual(exported.returncode, 0)
            copied = evaluator("nix", "--extra-experimental-features", "nix-command", "copy", "--no-check-sigs", "--from",
                               f"file://{self.folder}/unsigned", "--to", uri, self.unsigned)
            self.assertNotEqual(copied.returncode, 0, copied.stdout)
            self.assertFalse(Path(str(harness.STORE) + evil).exists())
            valid = evaluator("nix-store", "--store", uri, "--check-validity", self.unsigned)
            self.assertNotEqual(valid.returncode, 0)
            outside = evaluator("nix-build", "--store", uri, "--option", "sandbox", "false", "--no-out-link", "-E",
                                'derivation { name = "out"; system = "x86_64-linux"; builder = "/bin/sh"; '
                                'args = [ "-c" "echo escaped > $out" ]; }')
            self.assertNotEqual(outside.returncode, 0, outside.stdout)
        self.unsigned = self.make_unsigned()
        self.session_during(attack)

    def make_unsigned(self):
        """An unsigned, input-addressed path in a cache that an attacker has."""
        source = self.folder / "source"
        nix = ["nix", "--extra-experimental-features", "nix-command"]
        environment = {**os.environ, "NIX_STATE_DIR": str(self.folder / "state"), "HOME": str(self.folder),
                       "NIX_CONFIG": "sandbox-paths = /bin /usr /lib /lib64\nbuild-users-group =\nsubstituters =\n"}
        path = subprocess.run(["nix-build", "--store", f"local?root={source}", "--no-out-link", "-E",
                               'derivation { name = "evil"; system = "x86_64-linux"; builder = "/bin/sh"; '
                               'args = [ "-c" "echo evil > $out" ]; }'], check=True, stdout=subprocess.PIPE, text=True,
                              env=environment).stdout.strip()
        subprocess.run([*nix, "copy", "--from", f"local?root={source}", "--to", f"file://{self.folder}/unsigned", path],
                       check=True, env=environment)
        return path


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
