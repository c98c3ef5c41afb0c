"""Runs the builder on a store of its own, and programs in what it built."""
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
FETCH = HERE.parent.parent / "standalone" / "nixpkgs" / "fetch"
BUILDER = None
NIXPKGS = None
STORE = None
TIMES = []
HAD_NIX = Path("/nix").exists()


class Built:
    """What one run of the builder left."""

    def __init__(self, hash_, message, code, log, seconds, store):
        self.hash, self.message, self.code, self.log, self.seconds = hash_, message, code, log, seconds
        self.store = store
        self.outcome = message.get("outcome")
        self.text = message.get("message", "")

    @property
    def environment(self):
        return json.loads((self.store / "environments" / self.hash / "environment.json").read_text())

    @property
    def variables(self):
        return {name: base64.b64decode(value).decode("utf-8", "surrogateescape")
                for name, value in self.environment["variablesBase64"].items()}

    @property
    def view(self):
        return self.store / "views" / self.hash


def new_hash(environment, salt=""):
    return hashlib.sha256((json.dumps(environment, sort_keys=True) + salt).encode()).hexdigest()[:32]


def build(environment, *options, name=None, store=None, salt="", hash_=None):
    store = store or STORE
    hash_ = hash_ or new_hash(environment, salt)
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.json"
        request.write_text(json.dumps({"hash": hash_, "environment": environment}))
        termination = Path(folder) / "termination"
        start = time.monotonic()
        done = subprocess.run(
            [BUILDER, "--store", str(store), "--request", str(request), "--nixpkgs", NIXPKGS,
             "--termination-log", str(termination), "--min-free", "64Mi", *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
        seconds = time.monotonic() - start
        raw = termination.read_bytes()
    assert len(raw) <= 4096, f"the termination message has {len(raw)} bytes"
    message = json.loads(raw)
    if name:
        TIMES.append((name, seconds, message.get("environment", {}).get("closureSizeBytes", 0)))
    return Built(hash_, message, done.returncode, done.stdout.decode("utf-8", "replace"), seconds, store)


def shell(text):
    return {"shell": "{ pkgs ? import <nixpkgs> {} }: " + text}


def run_in(built, script, stdin=""):
    """Runs a script as a box would: the view as /nix/store, only the captured variables."""
    root = Path(tempfile.mkdtemp(prefix="envicutor-nix-root-"))
    try:
        for folder in ("nix/store", "tmp", "dev", "proc", "bin", "usr/bin"):
            (root / folder).mkdir(parents=True)
        os.symlink(built.environment["shell"], root / "bin/sh")
        os.symlink(built.environment["envBinary"], root / "usr/bin/env")
        (root / "tmp/script").write_text(script)
        variables = [f"{k}={v}" for k, v in built.variables.items() if "\n" not in v]
        inside = (f"mount --bind {built.view} {root}/nix/store && mount --rbind /dev {root}/dev && "
                  f"mount -t proc proc {root}/proc && cd {root}/tmp && "
                  'exec chroot "$0" /usr/bin/env -i "$@"')
        return subprocess.run(
            ["unshare", "-m", "-p", "-f", "sh", "-c", inside, str(root), *variables, "HOME=/tmp",
             built.environment["shell"], "-c", "cd /tmp; . ./script"],
            input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    finally:
        shutil.rmtree(root, ignore_errors=True)


class NixTest(unittest.TestCase):
    def assert_built(self, built):
        self.assertEqual(built.outcome, "Built", built.log[-3000:])
        self.assertEqual(built.code, 0)

    def assert_failed(self, built, outcome, *parts):
        self.assertEqual(built.outcome, outcome, f"{built.text}\n{built.log[-3000:]}")
        self.assertEqual(built.code, 1)
        for part in parts:
            self.assertIn(part, built.text)
        self.assertFalse((built.store / "environments" / built.hash).exists())
        self.assertFalse((built.store / "views" / built.hash).exists())
