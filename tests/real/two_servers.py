"""The embedded API server and a real kube-apiserver side by side, with our CRDs, and what makes their
answers comparable: names, versions and times that must differ are replaced by words."""

import copy
import http.client
import json
import re
import ssl
import subprocess
import time
from pathlib import Path

from cluster import BIN, ROOT
from control_plane import ControlPlane, Unavailable, free_port, openssl

TOKEN = "envicutor-test-admin"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
AGE = re.compile(r"(?<![\w.-])\d{1,3}[smh](\d{1,2}s)?(?![\w.-])")  # of tables
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


class Answer:
    def __init__(self, status, body, headers):
        self.status, self.headers = status, headers
        try:
            self.body = json.loads(body)
        except ValueError:
            self.body = body.decode(errors="replace")


class Server:
    """Speaks to one server as an administrator. Not thread-safe."""

    def __init__(self, name, port, kubeconfig):
        self.name, self.port, self.kubeconfig = name, port, kubeconfig
        self.kept = {}  # what earlier answers gave: {rv}, {uid}, {continue}
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._context = context

    def request(self, method, path, body=None, kind="application/json", accept="application/json", timeout=30):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self._context, timeout=timeout)
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
        if body is not None:
            headers["Content-Type"] = kind
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()

    def kubectl(self, *args, stdin=None):
        return subprocess.run(["kubectl", "--kubeconfig", self.kubeconfig, *args], input=stdin, text=True,
                              capture_output=True, timeout=60)

    def fill(self, value):
        """{rv} and the like in a request, from earlier answers of this server."""
        if isinstance(value, str):
            for name, kept in self.kept.items():
                value = value.replace("{" + name + "}", kept)
            return value
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        return value

    def keep(self, name, answer, *path):
        value = answer.body
        for step in path:
            value = value[step]
        self.kept[name] = str(value)

    def watch(self, path, seconds=2):
        """Events until the server ends the watch."""
        for _ in range(10):
            answer = self._watch_once(path, seconds)
            if answer.status != 429 and "ResourceVersionTooLarge" not in json.dumps(answer.body):
                break
            # A watch cache that has just begun asks to be asked again later; one behind etcd 3.4 hears only of
            # its own keys, so it needs a write among them to know how late it is.
            time.sleep(1)
            collection = path.split("?")[0]
            if collection.endswith("/configmaps"):
                self.request("POST", collection, {"metadata": {"generateName": "heard-"}})
        return answer

    def _watch_once(self, path, seconds):
        sep = "&" if "?" in path else "?"
        answer = self.request("GET", f"{path}{sep}watch=true&timeoutSeconds={seconds}", timeout=seconds + 30)
        if answer.status != 200:
            return answer
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        answer.body = [json.loads(line) for line in text.splitlines() if line.strip()]
        return answer


VERSIONS = ("resourceVersion", "uid", "creationTimestamp", "deletionTimestamp", "lastTransitionTime", "continue")
# What a plain reader does not see, or what only one of the two has.
DROPPED = ("managedFields", "selfLink")


def plain(value, server):
    """An answer without what must differ from server to server and from run to run."""
    if isinstance(value, dict):
        out = {}
        for key, item in value.items():
            if key in DROPPED:
                continue
            if key in VERSIONS and isinstance(item, str) and item:
                out[key] = f"<{key}>"
            else:
                out[key] = plain(item, server)
        return out
    if isinstance(value, list):
        return [plain(item, server) for item in value]
    if isinstance(value, str):
        value = UUID.sub("<uid>", TIME.sub("<time>", value))
        value = value.replace(f"127.0.0.1:{server.port}", "<server>")
        for name in ("rv", "old_rv"):
            if server.kept.get(name, "").isdigit() and len(server.kept[name]) > 0:
                value = re.sub(rf"\b{server.kept[name]}\b", f"<{name}>", value)
        value = AGE.sub("<age>", value)
        value = re.sub(r"(?m) +(?=<age>)", "  ", value)
        return re.sub(r"\bgen-[a-z0-9]{5}\b", "gen-<generated>", value)
    return value


def differences(left, right, path=""):
    """Where two plain answers differ: "path: left | right"."""
    if isinstance(left, dict) and isinstance(right, dict):
        out = []
        for key in sorted(set(left) | set(right)):
            at = f"{path}.{key}"
            if key not in left:
                out.append(f"{at}: (absent) | {json.dumps(right[key])[:300]}")
            elif key not in right:
                out.append(f"{at}: {json.dumps(left[key])[:300]} | (absent)")
            else:
                out += differences(left[key], right[key], at)
        return out
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [d for i, (a, b) in enumerate(zip(left, right)) for d in differences(a, b, f"{path}[{i}]")]
    return [] if left == right else [f"{path}: {json.dumps(left)[:400]} | {json.dumps(right)[:400]}"]


class TwoServers:
    """`embedded` and `real`, each with the CRDs."""

    def __init__(self):
        if not (BIN / "envicutor").exists():
            raise Unavailable(f"no {BIN / 'envicutor'}")
        ControlPlane.programs()
        self.plane = ControlPlane()
        self.dir = self.plane.dir

    def start(self):
        port = free_port()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-keyout", "embedded.key", "-out", "embedded.crt", cwd=self.dir)
        (self.dir / "embedded-tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        self.plane.spawn("embedded", BIN / "envicutor", "apiserver", "--data-dir", self.dir / "embedded", "--port", port,
                         "--tls-cert-file", self.dir / "embedded.crt", "--tls-private-key-file",
                         self.dir / "embedded.key", "--token-auth-file", self.dir / "embedded-tokens.csv")
        self.plane.start()
        config = json.loads(Path(self.plane.kubeconfig).read_text())
        self.real = Server("real", self.plane.port, self.plane.kubeconfig)
        config = copy.deepcopy(config)
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        path = self.dir / "embedded-kubeconfig"
        path.write_text(json.dumps(config))
        self.embedded = Server("embedded", port, str(path))
        for server in (self.embedded, self.real):
            self._wait(server)
            done = server.kubectl("apply", "-f", str(ROOT / "crds"))
            assert done.returncode == 0, done.stderr
            done = server.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s")
            assert done.returncode == 0, done.stderr
        return self

    def _wait(self, server):
        deadline = time.monotonic() + 60
        while True:
            self.plane.check()
            try:
                if server.request("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, f"{server.name} is not ready"
            time.sleep(0.2)

    def stop(self):
        self.plane.stop()
