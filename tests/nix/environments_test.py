"""Environments that work: what is captured, what the view holds, what runs in it."""
import shutil
import stat
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
from harness import NixTest, build, run_in, shell


class Fetched(NixTest):
    def test_packages_beside_which_it_is_called_are_not_in_its_way(self):
        """apt does not name what is in the folder already."""
        fetched = Path(harness.NIXPKGS)
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "target")
            shutil.copytree(fetched / "debs", target / "debs")  # nothing to download
            for deb in (fetched / "debs").iterdir():
                shutil.copy(deb, folder)
            again = subprocess.run([harness.FETCH, target], cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
            self.assertEqual(Path(again.stdout.strip()).name, fetched.name)


class Environments(NixTest):
    def test_1_bash(self):
        built = build({"packages": ["bash", "coreutils", "findutils", "gnugrep", "gnused"]}, name="bash, cold")
        self.assert_built(built)
        environment = built.environment
        self.assertEqual(environment["hash"], built.hash)
        self.assertIn("bin/bash", environment["shell"])
        self.assertIn("bin/env", environment["envBinary"])
        done = run_in(built, "echo $BASH_VERSION | sed s/^5.*/five/; ls /nix/store | wc -l; find /nix/store -name sed | grep -c bin")
        self.assertEqual(done.stdout.decode().split(), ["five", str(len(environment["closure"])), "1"])

    def test_2_view_is_the_closure_only(self):
        built = build({"packages": ["bash", "coreutils", "findutils", "gnugrep", "gnused"]})
        self.assertIn("built already", built.text)
        self.assertLess(built.seconds, 1)
        paths = {Path(p).name for p in built.environment["closure"]}
        self.assertEqual({entry.name for entry in built.view.iterdir()}, paths)
        self.assertNotIn("bootstrap", " ".join(paths))
        self.assertNotIn(".deb", " ".join(paths))
        # Hard links: no second copy on the disk.
        program = next(built.view.glob("*-bash-*/bin/bash"))
        self.assertGreaterEqual(program.stat().st_nlink, 2)
        self.assertEqual(stat.S_IMODE(built.view.stat().st_mode), 0o555)

    def test_3_python(self):
        built = build(shell('pkgs.mkShell { packages = [ pkgs.python3 ]; '
                            'FOO = "a b\\nc=d"; shellHook = "export BAR=$(python3 -c \'print(6*7)\')"; }'),
                      name="python3")
        self.assert_built(built)
        self.assertEqual(built.variables["FOO"], "a b\nc=d")
        self.assertEqual(built.variables["BAR"], "42")
        for gone in ("HOME", "PWD", "out", "stdenv", "nativeBuildInputs", "shellHook", "NIX_BUILD_TOP", "TMPDIR", "_"):
            self.assertNotIn(gone, built.variables)
        done = run_in(built, "exec python3 -c 'import ssl, sqlite3, ctypes, json, threading, zlib, lzma, bz2, hashlib, "
                             "readline, curses, uuid, decimal; t = threading.Thread(target=print, args=(\"é\",)); t.start(); t.join()'")
        self.assertEqual(done.stdout.decode().strip(), "é")
        # Byte code is there: a run cannot write it.
        self.assertTrue(list(built.view.glob("*-python3-*/lib/python3.11/json/__pycache__/*.pyc")))

    def test_4_gcc(self):
        built = build({"packages": ["gcc", "gnumake"]}, name="gcc")
        self.assert_built(built)
        done = run_in(built, r"""
cat > t.c <<'E'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
static void *f(void *x) { printf("%.3f\n", sqrt(*(double *)x)); pthread_exit(0); }
int main(void) { double d = 2; pthread_t t; pthread_create(&t, 0, f, &d); pthread_join(t, 0); return 3; }
E
cat > t.cpp <<'E'
#include <iostream>
#include <stdexcept>
#include <thread>
int main() {
  std::thread t([] { std::cout << "thread\n"; });
  t.join();
  try { throw std::runtime_error("caught"); } catch (std::exception& e) { std::cout << e.what() << "\n"; }
}
E
gcc -O1 -o t t.c -lm; ./t; echo $?
g++ -O1 -std=c++17 -pthread -o tt t.cpp && ./tt
g++ -static -o ts t.cpp && ./ts
gcc -fsanitize=address,undefined -o ta t.c -lm && ./ta
gcc -flto -O2 -o tl t.c -lm && ./tl
echo 'int main(void) { return 0 }' > bad.c
gcc bad.c 2>&1 | while read -r line; do case $line in *expected*) echo bad;; esac; done
""")
        self.assertEqual(done.stdout.decode().split(),
                         "1.414 3 thread caught thread caught 1.414 1.414 bad".split(), done.stdout.decode())

    def test_5_tcc_and_others(self):
        built = build({"packages": ["tcc", "gawk", "diffutils", "busybox"]}, name="tcc, gawk, diffutils, busybox")
        self.assert_built(built)
        done = run_in(built, "printf '#include <stdio.h>\\nint main(void) { puts(\"tcc\"); return 0; }\\n' > t.c; "
                             "tcc -o t t.c && ./t; tcc -run t.c; echo a b | awk '{print $2}'; busybox echo c")
        self.assertEqual(done.stdout.decode().split(), ["tcc", "tcc", "b", "c"])

    def test_6_extra_packages(self):
        built = build({"packages": ["python3"], "extraPackages": ["python3Packages.numpy"]}, name="numpy over python3")
        self.assert_built(built)
        done = run_in(built, "exec python3 -c 'import numpy; print(int(numpy.arange(4).sum()))'")
        self.assertEqual(done.stdout.decode().strip(), "6")

    def test_6_with_packages(self):
        built = build(shell("pkgs.mkShell { packages = [ (pkgs.python3.withPackages (ps: [ ps.numpy ])) ]; }"))
        self.assert_built(built)
        done = run_in(built, "exec python3 -c 'import numpy; print(numpy.__name__)'")
        self.assertEqual(done.stdout.decode().strip(), "numpy")

    def test_bash_is_added(self):
        # A derivation without a stdenv: no PATH, no bash.
        built = build({"shell": '{ pkgs ? import <nixpkgs> {} }: derivation { name = "bare"; system = "x86_64-linux"; '
                                'builder = "/bin/false"; MARK = "x"; }'})
        self.assert_built(built)
        self.assertEqual(built.variables["MARK"], "x")
        self.assertEqual(run_in(built, "bash -c 'echo $MARK'; /usr/bin/env echo y").stdout.decode().split(), ["x", "y"])

    def test_helpers_of_nixpkgs(self):
        built = build(shell("""
          let
            hello = pkgs.writeShellScriptBin "hello" "echo hello";
            data = pkgs.writeText "data" "one\\ntwo\\n";
            made = pkgs.stdenv.mkDerivation { pname = "made"; version = "1"; dontUnpack = true;
              buildPhase = "echo built > x"; installPhase = "mkdir -p $out/share; cp x $out/share/"; };
          in pkgs.mkShellNoCC {
            buildInputs = [ hello ];
            env.DATA = data;
            MADE = "${made}/share/x";
            LIST = pkgs.lib.concatStringsSep "," (map toString (pkgs.lib.range 1 3));
          }"""))
        self.assert_built(built)
        self.assertEqual(run_in(built, "hello; cat $DATA $MADE; echo $LIST").stdout.decode().split(),
                         ["hello", "one", "two", "built", "1,2,3"])

    def test_salt_is_built_apart(self):
        one = build({"packages": ["bash"]}, salt="1")
        two = build({"packages": ["bash"], "salt": "uid-1"}, salt="2")
        self.assert_built(one)
        self.assert_built(two)
        self.assertNotEqual(one.environment["storePath"], two.environment["storePath"])
        removed = subprocess.run([harness.BUILDER, "--store", str(harness.STORE), "--remove", two.hash,
                                  "--termination-log", ""], check=False)
        self.assertEqual(removed.returncode, 0)
        self.assertFalse((harness.STORE / "environments" / two.hash).exists())
        self.assertFalse(two.view.exists())
        self.assertTrue(one.view.exists())

    def test_two_at_once_build_once(self):
        environment = shell('pkgs.mkShell { MARK = "at once"; shellHook = "sleep 1"; }')
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda _: build(environment), range(2)))
        for built in results:
            self.assert_built(built)
        self.assertEqual(sorted("built already" in built.text for built in results), [False, True])
