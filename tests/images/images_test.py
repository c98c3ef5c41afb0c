"""The images, really built (buildah, from a base made by mmdebstrap) with this build's programs; the executor image's
root tree is then booted in the cgroup-v2 test machine, where its agent runs a program with each sandbox engine."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))
BASE = "localhost/envicutor-test-base"
NAMES = ("operator", "executor-agent", "builder", "cache", "cli")
ISOLATE = os.environ.get("ISOLATE") or shutil.which("isolate") or ""
HASH = "0" * 32
BUSYBOX = "/nix/store/" + "0" * 32 + "-busybox"


class Images:
    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="envicutor-images-", dir="/var/tmp"))
        # As images/build.sh calls it; storage of its own, so that nothing of it stays on this machine.
        self.tool = self.dir / "bin" / "buildah"
        self.tool.parent.mkdir()
        self.tool.write_text(f'#!/bin/sh\nexport BUILDAH_ISOLATION=chroot\nexec {shutil.which("buildah")} --root '
                             f'{self.dir}/storage --runroot {self.dir}/run --storage-driver vfs "$@"\n')
        self.tool.chmod(0o755)

    def buildah(self, *args):
        done = subprocess.run([self.tool, *map(str, args)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_base(self):
        """Debian 12 as this machine's apt has it. pytest's skip where it cannot be had."""
        context = self.dir / "base"
        context.mkdir()
        made = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", context / "base.tar"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if made.returncode != 0:
            pytest.skip("no base image: " + (made.stderr.strip().splitlines() or ["mmdebstrap failed"])[-1])
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        self.buildah("build", "-q", "--pull-never", "-t", BASE, context)
        (context / "base.tar").unlink()

    def build(self, *args):
        environment = {**os.environ, "PATH": f"{self.tool.parent}:{os.environ['PATH']}", "BUILD_ARGS": "--pull-never"}
        return subprocess.run([ROOT / "images" / "build.sh", "--tool", "buildah", "--base", BASE, "--tag", "test",
                               "--prebuilt", BIN, *args], env=environment, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True)

    def inspect(self, name):
        image = json.loads(self.buildah("inspect", "--type", "image", f"localhost/envicutor/{name}:test"))
        return image["OCIv1"]["config"]

    def tree(self, name):
        """The image's root, as a folder."""
        container = self.buildah("from", "--pull-never", f"localhost/envicutor/{name}:test")
        return Path(self.buildah("mount", container))

    def remove(self):
        subprocess.run([self.tool, "rm", "--all"], capture_output=True)
        subprocess.run([self.tool, "rmi", "--all", "--force"], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="module")
def images():
    if os.geteuid() != 0:
        pytest.skip("images are built as root here")
    for tool in ("buildah", "mmdebstrap"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    images = Images()
    try:
        images.make_base()
        built = images.build("--isolate", ISOLATE or "none")
        assert built.returncode == 0, (built.stdout + built.stderr)[-4000:]
        images.said = built.stdout + built.stderr
        yield images
    finally:
        images.remove()


def test_all_are_built_and_labelled(images):
    assert re.findall(r"^localhost/envicutor/(\S+):test$", images.said, re.M) == list(NAMES)
    for name in NAMES:
        config = images.inspect(name)
        assert config["Labels"]["org.opencontainers.image.title"] == f"envicutor-{name}"
        assert config["Labels"]["org.opencontainers.image.version"] == "test"
        assert config["Entrypoint"]


@pytest.mark.parametrize("name", ["operator", "cache", "cli"])
def test_what_needs_no_privilege_has_none(images, name):
    assert images.inspect(name)["User"] == "65532:65532"


def test_an_sbom_can_be_made_and_nothing_else_is_left(images):
    for name in NAMES:
        tree = images.tree(name)
        status = (tree / "var/lib/dpkg/status").read_text()
        assert "Package: libc6" in status
        assert list((tree / "usr/share/doc").glob("*/copyright"))
        assert not list((tree / "var/lib/apt/lists").glob("*_Packages*"))
        for leftover in ("src", "context", ".git", "isolate"):
            assert not (tree / leftover).exists(), leftover
        assert not shutil.which("gcc", path=str(tree / "usr/bin"))


def test_without_the_internet_the_message_says_what_to_do(images):
    assert "fit for tests" in images.said  # of Debian's Nix
    done = images.build("--nix", "https://example.com/nix.tar.xz", "builder")
    assert done.returncode == 2 and "--nix-sha256" in done.stderr
    done = images.build("--isolate", "/nowhere/isolate", "executor-agent")
    assert done.returncode == 2 and "no such binary" in done.stderr


def test_the_cache_takes_its_configuration_and_serves(images):
    tree = images.tree("cache")
    for folder in ("etc/envicutor/cache-auth", "tmp"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "etc/envicutor/cache-auth/htpasswd").write_text("publisher:{PLAIN}secret\n")
    script = (
        "mount -t proc proc /proc; nginx -c /etc/envicutor/cache/nginx.conf -g 'daemon off;' & pid=$!; "
        "exec 3<>/dev/null; i=0; until (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null || [ $i = 100 ]; do "
        "i=$((i+1)); sleep 0.1; done; "
        "ask() { exec 3<>/dev/tcp/127.0.0.1/8080; printf '%b' \"$1\" >&3; cat <&3; exec 3>&-; }; "
        "ask 'GET /nix-cache-info HTTP/1.0\\r\\n\\r\\n'; "
        f"ask 'PUT /{'a' * 32}.narinfo HTTP/1.0\\r\\nContent-Length: 2\\r\\n\\r\\nhi'; "
        f"ask 'PUT /{'a' * 32}.narinfo HTTP/1.0\\r\\nAuthorization: Basic "
        f"{base64.b64encode(b'publisher:secret').decode()}\\r\\nContent-Length: 2\\r\\n\\r\\nhi'; "
        f"ask 'GET /{'a' * 32}.narinfo HTTP/1.0\\r\\n\\r\\n'; kill $pid; wait")
    done = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
                           "sh", "-c", f"ip link set lo up; exec chroot --userspec=65532:65532 {tree} bash -c \"$0\"",
                           script.replace("mount -t proc proc /proc; ", "")],
                          capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert "StoreDir: /nix/store" in said, said
    statuses = re.findall(r"^HTTP/1\.1 (\d+)", said, re.M)
    assert statuses == ["200", "401", "201", "200"], said


def store_with_busybox(folder):
    """An environment as the builder leaves it: a static busybox as its shell."""
    package = folder / "nix/store" / Path(BUSYBOX).name / "bin"
    package.mkdir(parents=True)
    shutil.copy("/bin/busybox", package / "busybox")
    for applet in ("sh", "env", "id", "cat"):
        (package / applet).symlink_to("busybox")
    shutil.copytree(folder / "nix/store", folder / "views" / HASH, symlinks=True)
    environment = folder / "environments" / HASH
    environment.mkdir(parents=True)
    path = base64.b64encode(f"{BUSYBOX}/bin".encode()).decode()
    (environment / "environment.json").write_text(json.dumps({
        "hash": HASH, "storePath": BUSYBOX, "shell": f"{BUSYBOX}/bin/sh", "envBinary": f"{BUSYBOX}/bin/env",
        "variablesBase64": {"PATH": path}, "closure": [BUSYBOX], "closureSizeBytes": 1, "signedBy": ""}))


def certificates(folder):
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name, common_name, extensions in (
            ("tls", "executor.envicutor.internal", "subjectAltName=DNS:executor.envicutor.internal\nextendedKeyUsage=serverAuth\n"),
            ("client", "envicutor-operator", "extendedKeyUsage=clientAuth\n")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={common_name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(extensions)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")


@pytest.mark.parametrize("engine", ["native", "isolate"])
def test_the_executor_image_boots_and_runs_a_program(images, engine):
    if engine == "isolate" and not ISOLATE:
        pytest.skip("no isolate 2.6 to put into the image: set ISOLATE")
    if not Path("/usr/bin/linux.uml").exists():
        pytest.skip("no user-mode-linux")
    tree = images.tree("executor-agent")
    volumes = images.dir / f"volumes-{engine}"
    for folder in ("store", "agent", "tls"):
        (volumes / folder).mkdir(parents=True)
    store_with_busybox(volumes / "store")
    certificates(volumes / "tls")
    for folder in ("var/lib/envicutor/store", "var/lib/envicutor/agent", "etc/envicutor/tls", "host"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    done = subprocess.run([ROOT / "tests/node/run", "--mem", "1G", "--timeout", "150", "--bind", f"{tree}:/run/image",
                           "--bind", f"{volumes}:/run/volumes", "--", "/bin/sh", HERE / "boot", engine,
                           HERE / "drive.py"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["info"]["sandbox"] == engine and result["info"]["degraded"] is False
    run = result["result"]["run"]
    assert result["result"]["verdict"] == "Accepted", result
    assert run["stdout"] == "hello from the image\n"
    assert run["memoryBytes"] > 0
