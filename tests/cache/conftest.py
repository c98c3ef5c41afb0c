"""The built environment, its published cache and certificates, once for the session."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

import harness


@pytest.fixture(scope="session")
def built():
    for program in ("nix", "nginx", "openssl"):
        if not (shutil.which(program) or Path(f"/usr/sbin/{program}").exists()):
            pytest.skip(f"{program} is not installed")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = Path(tempfile.mkdtemp(prefix="envicutor-cache-test-", dir="/var/tmp"))
    os.chmod(folder, 0o755)
    try:
        built = harness.Built(folder)
        built.publish(folder / "pristine")
        yield built
    finally:
        harness.remove(folder)


@pytest.fixture(scope="session")
def tls(built):
    return harness.certificates(built.folder / "tls")


@pytest.fixture()
def folder(built):
    path = Path(tempfile.mkdtemp(dir=built.folder))
    os.chmod(path, 0o755)
    yield path
    harness.remove(path)


class Site:
    """A copy of the published cache that may be spoiled, behind nginx, and one executor with an empty store."""

    def __init__(self, folder, built, tls):
        self.folder, self.built, self.tls = folder, built, tls
        self.cache = folder / "cache"
        self.pristine()
        self.nginx = harness.Nginx(folder / "nginx", self.cache)
        self.agents = []

    def pristine(self):
        """Heals the cache."""
        self.cache.mkdir(exist_ok=True)
        shutil.copytree(self.built.folder / "pristine", self.cache, dirs_exist_ok=True)

    def agent(self, *flags, url=None, name="agent", **options):
        agent = harness.Agent(self.folder / name, self.tls, self.built, url or self.nginx.url, *flags, **options)
        self.agents.append(agent)
        return agent

    def narinfo(self, path=None):
        return self.cache / (Path(path or self.built.path).name[:32] + ".narinfo")

    def fields(self, path=None):
        return dict(line.split(": ", 1) for line in self.narinfo(path).read_text().splitlines())

    def edit(self, path=None, **fields):
        """Sets lines of a narinfo; None removes one."""
        values = {**self.fields(path), **fields}
        self.narinfo(path).write_text("".join(f"{k}: {v}\n" for k, v in values.items() if v is not None))

    def nar(self, path=None):
        return self.cache / self.fields(path)["URL"]

    def stop(self):
        for agent in self.agents:
            agent.stop()
        self.nginx.stop()


@pytest.fixture()
def site(folder, built, tls):
    site = Site(folder, built, tls)
    yield site
    site.stop()
