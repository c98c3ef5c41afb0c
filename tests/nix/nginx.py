"""The cache's web server as images/cache/nginx.conf has it, on a folder and a port of its own."""
import base64
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

CONF = Path(__file__).resolve().parent.parent.parent / "images" / "cache" / "nginx.conf"
LOGIN = ("publisher", "correct-horse")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Nginx:
    """`root` is the cache's folder, `work` (another one) has what the server needs. Both become nobody's."""

    def __init__(self, root, work):
        self.root, self.work = Path(root), Path(work)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        for folder in (self.root, self.work):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)
            shutil.chown(folder, "nobody", "nogroup")
        crypted = subprocess.run(["openssl", "passwd", "-apr1", LOGIN[1]], check=True, stdout=subprocess.PIPE,
                                 text=True).stdout.strip()
        (self.work / "htpasswd").write_text(f"{LOGIN[0]}:{crypted}\n")
        self.netrc = self.work / "secret" / "netrc"
        self.netrc.parent.mkdir(exist_ok=True)
        conf = (CONF.read_text().replace("/tmp/", f"{self.work}/").replace("/var/lib/envicutor/cache", str(self.root))
                .replace("/etc/envicutor/cache-auth", str(self.work))
                .replace("listen 8080;", f"listen 127.0.0.1:{self.port};"))
        (self.work / "nginx.conf").write_text(conf)
        self.use_password(LOGIN[1])

    def use_password(self, password):
        self.netrc.write_text(f'machine 127.0.0.1\nlogin {LOGIN[0]}\npassword {password}\n')

    def start(self):
        self.process = subprocess.Popen(["nginx", "-c", str(self.work / "nginx.conf"), "-g", "daemon off;"],
                                        stderr=(self.work / "log").open("ab"))
        deadline = time.monotonic() + 20
        while self.status("GET", "/nix-cache-info") != 200:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.work / "log").read_text()
        return self

    def kill(self):
        """kill -9 of all its processes."""
        if self.process is None:
            return
        workers = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        self.process.kill()
        self.process.wait()
        for worker in workers:
            try:
                os.kill(int(worker), 9)
            except ProcessLookupError:
                pass
        self.process = None

    def status(self, method, path, body=None, login=None):
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if login:
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(login).encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
