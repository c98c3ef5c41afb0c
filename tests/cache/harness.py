"""What the tests of the shared cache stand on: one environment built by the real builder, a real Nix binary
cache of it behind the real nginx, and executor agents with stores of their own on this machine.

ENVICUTOR_BIN      folder of the binaries (default build/release/bin)
ENVICUTOR_NIXPKGS  a folder that standalone/nixpkgs/fetch made, used again (default: a new one)
"""

import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
NGINX_CONF = ROOT / "images" / "cache" / "nginx.conf"

# Milliseconds and bytes, as they are between operator and agent.
LIMITS = {"cpuTime": 10_000, "extraTime": 0, "wallTime": 20_000, "memory": 256 << 20, "maxProcesses": 64,
          "maxOpenFiles": 256, "maxFileSize": 16 << 20, "maxDisk": 64 << 20, "stack": 64 << 20, "maxStdout": 64 << 10,
          "maxStderr": 64 << 10}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about within {seconds} s")


def remove(path):
    subprocess.run(["chmod", "-R", "u+w", str(path)], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(path, ignore_errors=True)


def nix(home, *command, settings="", check=True):
    """Nix with no configuration of this machine's."""
    home.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, NIX_CONF_DIR=str(home), NIX_USER_CONF_FILES="", HOME=str(home), XDG_CACHE_HOME=str(home),
               NIX_REMOTE="", NIX_STATE_DIR=str(home / "state"),
               NIX_CONFIG="experimental-features = nix-command\nbuild-users-group =\n" + settings)
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, timeout=300)
    if check and done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr[-2000:]}")
    return done


class Built:
    """An environment on a builder's store, and keys: one that is trusted, one that is not."""

    def __init__(self, folder):
        self.folder = folder
        self.store = folder / "built"
        given = os.environ.get("ENVICUTOR_NIXPKGS")
        self.nixpkgs = subprocess.run([ROOT / "standalone/nixpkgs/fetch", given or folder / "nixpkgs"], check=True,
                                      stdout=subprocess.PIPE, text=True).stdout.strip()
        self.hash, self.path = self.build({"packages": ["bash", "coreutils"]}, "a" * 32)
        # Another that shares all but itself with the first.
        self.other_hash, self.other_path = self.build(
            {"shell": '{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { packages = [ pkgs.bash ]; OTHER = "yes"; }'},
            "b" * 32)
        for name in ("good", "evil"):
            nix(folder / "home", "nix-store", "--generate-binary-cache-key", f"{name}-1", folder / f"{name}.secret",
                folder / f"{name}.public")
        self.public = (folder / "good.public").read_text().strip()

    def build(self, environment, hash_):
        request, termination = self.folder / "request.json", self.folder / "termination"
        request.write_text(json.dumps({"hash": hash_, "environment": environment}))
        subprocess.run([BIN / "envicutor-builder", "--store", self.store, "--request", request, "--nixpkgs",
                        self.nixpkgs, "--termination-log", termination, "--min-free", "64Mi"], check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        return hash_, json.loads(termination.read_text())["environment"]["storePath"]

    def publish(self, where, key="good", paths=None):
        """`where`: a folder, or a URL."""
        url = where if "://" in str(where) else f"file://{where}"
        secret = f"?secret-key={self.folder / (key + '.secret')}&compression=zstd" if key else "?compression=zstd"
        nix(self.folder / f"home-{uuid.uuid4().hex}", "nix", "copy", "--to", url + secret, "--store",
            f"local?root={self.store}", *(paths or [self.path, self.other_path]))

    def closure(self, path=None):
        out = nix(self.folder / "home", "nix", "path-info", "-r", "--store", f"local?root={self.store}",
                  path or self.path).stdout
        return out.split()


class Nginx:
    """The cache's own nginx.conf, on a port and a folder of this test's; or a configuration that lies."""

    def __init__(self, folder, cache, server=None):
        self.folder, self.cache, self.port = folder, cache, free_port()
        folder.mkdir(parents=True)
        cache.mkdir(parents=True, exist_ok=True)
        (cache / ".incoming").mkdir(exist_ok=True)
        os.chmod(folder, 0o755)
        text = NGINX_CONF.read_text()
        password = subprocess.run(["openssl", "passwd", "-apr1", "secret"], check=True, capture_output=True,
                                  text=True).stdout.strip()
        (folder / "htpasswd").write_text(f"publisher:{password}\n")
        for old, new in (("/var/lib/envicutor/cache", str(cache)), ("/etc/envicutor/cache-auth", str(folder)),
                         ("/tmp/nginx", str(folder / "nginx")), ("listen 8080", f"listen 127.0.0.1:{self.port}")):
            assert old in text, f"images/cache/nginx.conf has no {old}"
            text = text.replace(old, new)
        if server:
            text = server(text)
        self.config = folder / "nginx.conf"
        # One process, so that killing it is the end of it.
        self.config.write_text("user root;\ndaemon off;\nmaster_process off;\n" + text)
        self.process = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-e", "stderr", "-p", self.folder, "-c", self.config],
                                        stderr=(self.folder / "errors").open("ab"))

        def answers():
            assert self.process.poll() is None, (self.folder / "errors").read_text()[-2000:]
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for("nginx", answers)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=20)


def certificates(folder):
    """tls.crt, tls.key, ca.crt for an agent; client.crt, client.key for the operator."""
    if (folder / "client.crt").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test", "-days", "2")
    for name, common, alternative in (("tls", "executor", "executor.envicutor.internal"),
                                      ("client", "envicutor-operator", "envicutor-operator")):
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common}")
        (folder / "extensions").write_text(f"subjectAltName=DNS:{alternative}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out",
                f"{name}.crt", "-days", "2", "-extfile", "extensions")
    return folder


class Agent:
    """An executor agent on the host, degraded: what it may do is not the point, where its programs come from is."""

    def __init__(self, folder, tls, built, url, *flags, store=None, keys=None):
        self.folder, self.tls, self.built = folder, tls, built
        self.store = store or folder / "store"
        self.port, self.metrics_port = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        keys = built.public if keys is None else keys
        cache = ["--cache-url", url, "--cache-public-keys", keys] if url else []
        self.command = [
            BIN / "envicutor-executor-agent", "--listen", f"127.0.0.1:{self.port}", "--probe-listen", "127.0.0.1:0",
            "--metrics-listen", f"127.0.0.1:{self.metrics_port}", "--slots", "8", "--memory", "4Gi", "--sandbox",
            "native", "--allow-degraded", "--store", self.store, "--state-dir", folder / "state", "--tls-dir", tls,
            "--first-uid", str(70000 + (self.port % 1000) * 100), *cache, *flags]
        self.process = None
        self.start()

    def start(self):
        self.log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(list(map(str, self.command)), stderr=self.log, stdout=self.log)
        wait_for("the agent", self.answers)

    def answers(self):
        assert self.process.poll() is None, self.text()[-3000:]
        try:
            return self.call("GET", "/v1/info")[0] == 200
        except OSError:
            return False

    def text(self):
        return (self.folder / "log").read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)

    def call(self, method, path, body=None):
        context = ssl.create_default_context(cafile=self.tls / "ca.crt")
        context.check_hostname = False
        context.load_cert_chain(self.tls / "client.crt", self.tls / "client.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def submit(self, script="echo ran", hash_=None, path=None, attempt=1, uid=None):
        uid = uid or str(uuid.uuid4())
        status, answer = self.call("PUT", f"/v1/runs/{uid}/{attempt}", {
            "uid": uid, "attempt": attempt, "namespace": "test", "name": "test", "runtime": "",
            "environmentHash": hash_ or self.built.hash,
            "environmentStorePath": self.built.path if path is None else path,
            "files": [], "run": {"script": script, "args": [], "limits": LIMITS, "env": []},
            "stopOnFirstFailure": False, "outputFiles": [], "memoryBytes": 256 << 20, "deadlineUnixMillis": 0})
        assert status == 202, (status, answer)
        return uid

    def result(self, uid, seconds=60):
        after = 0

        def found():
            _, page = self.call("GET", f"/v1/results?after={after}&timeoutSeconds=2&limit=500")
            return next((r for r in page["results"] if r["uid"] == uid), None)
        return wait_for(f"the result of {uid}", found, seconds)

    def run(self, *args, **options):
        return self.result(self.submit(*args, **options))

    def put_environments(self, *environments):
        status, answer = self.call("PUT", "/v1/environments", {"environments": list(environments)})
        assert status == 200, answer
        return {e["hash"]: e for e in answer["environments"]}, answer

    def metric(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found.group(1)) if found else None

    def has(self, hash_=None):
        return (self.store / "environments" / (hash_ or self.built.hash) / "environment.json").exists()

    def fetches(self):
        return self.metric("envicutor_agent_closure_fetch_seconds_count") or 0


def stdout_of(result):
    run = result["run"]
    if run.get("stdoutEncoding") == "base64":
        return base64.b64decode(run["stdout"]).decode()
    return run["stdout"]
