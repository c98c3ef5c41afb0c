"""Publishing to the real nginx with images/cache/nginx.conf, and what a cache may do wrong."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
import nginx
from harness import NixTest, build

BASH = {"packages": ["bash", "coreutils"]}


class Cache:
    """A key pair and a cache, with the builder's options for them."""

    def __init__(self, folder, web=True):
        self.folder = Path(folder)
        self.root = self.folder / "cache"
        self.server = nginx.Nginx(self.root, self.folder / "nginx").start() if web else None
        self.url = self.server.url if web else f"file://{self.root}"
        self.secret = self.folder / "secret" / "secret-key"
        self.secret.parent.mkdir()
        self.public = self.new_key("cache-1", self.secret)

    def new_key(self, name, file):
        subprocess.run(["nix-store", "--generate-binary-cache-key", name, str(file), str(file) + ".pub"], check=True,
                       env={**os.environ, "NIX_STATE_DIR": str(self.folder / "state")})
        return Path(str(file) + ".pub").read_text().strip()

    def options(self, *more):
        netrc = ["--cache-netrc-file", str(self.server.netrc)] if self.server else []
        return ["--cache-url", self.url, "--cache-key-file", str(self.secret), "--cache-public-keys", self.public,
                *netrc, *more]

    def nix(self, *command):
        """As an executor would ask: no key, no credentials."""
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "nix.conf").write_text("experimental-features = nix-command\nnarinfo-cache-positive-ttl = 0\n"
                                       f"narinfo-cache-negative-ttl = 0\ntrusted-public-keys = {self.public}\n")
        return subprocess.run(list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env={
            "PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "NIX_CONF_DIR": str(conf),
            "NIX_STATE_DIR": str(self.folder / "state")})

    def verify(self, store_path):
        return self.nix("nix", "store", "verify", "--store", self.url, "-r", "--sigs-needed", "1", store_path)

    def narinfos(self):
        return sorted(self.root.glob("*.narinfo"))

    def nar_of(self, narinfo):
        return self.root / next(line for line in narinfo.read_text().splitlines() if line.startswith("URL: "))[5:]

    def end(self):
        if self.server:
            self.server.kill()


class CacheTest(NixTest):
    web = True

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="envicutor-nix-cache-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.cache = Cache(self.folder, self.web)
        self.addCleanup(self.cache.end)

    def publish(self, *more, environment=None, **keywords):
        return build(environment or BASH, *self.cache.options(*more), **keywords)

    def assert_unpublished(self, built, reason, *parts):
        self.assertEqual(built.outcome, "PublishFailed", built.log[-3000:])
        self.assertEqual(built.message["reason"], reason, built.text)
        self.assertTrue(built.message["environment"]["storePath"])
        self.assertEqual(built.message["environment"]["signedBy"], "")
        for part in parts:
            self.assertIn(part, built.text)

    def assert_published(self, built):
        self.assert_built(built)
        self.assertEqual(built.message["environment"]["signedBy"], "cache-1")
        verified = self.cache.verify(built.message["environment"]["storePath"])
        self.assertEqual(verified.returncode, 0, verified.stdout)


class Publishing(CacheTest):
    def test_signed_compressed_and_found_again(self):
        built = self.publish()
        self.assert_published(built)
        environment = built.environment
        self.assertEqual(environment["signedBy"], "cache-1")
        self.assertEqual(len(self.cache.narinfos()), len(environment["closure"]))
        for narinfo in self.cache.narinfos():
            self.assertIn("\nSig: cache-1:", narinfo.read_text())
            self.assertTrue(self.cache.nar_of(narinfo).name.endswith(".nar.zst"))
        again = self.publish()
        self.assert_published(again)
        self.assertIn("built already", again.text)
        # A builder that never built it finds it in the cache.
        with tempfile.TemporaryDirectory() as other:
            found = self.publish(store=Path(other))
            self.assert_published(found)
            self.assertIn("in the cache already", found.text)
            for name in ("storePath", "closureSizeBytes", "closurePaths", "hash"):
                self.assertEqual(found.message["environment"][name], built.message["environment"][name])

    def test_a_pointer_that_was_forged_is_not_followed(self):
        victim = {**BASH, "packages": ["bash"]}
        self.assert_published(self.publish())
        ours = self.cache.root / "environments" / harness.new_hash(BASH)
        forged = json.loads(ours.read_text())
        target = self.cache.root / "environments" / harness.new_hash(victim)
        for text in (ours.read_text(), json.dumps({**forged, "hash": target.name}), "{}", "x" * 10000):
            target.write_text(text)
            with tempfile.TemporaryDirectory() as other:
                # No nixpkgs: it would be built if it could.
                built = build(victim, *self.cache.options("--nixpkgs", "/nonexistent"), store=Path(other))
            self.assertNotEqual(built.outcome, "Built", text[:100])
            self.assertIn("the cache was asked", built.log)

    def test_only_the_publisher_writes(self):
        name = "/" + "0" * 32 + ".narinfo"
        server = self.cache.server
        for login in (None, ("publisher", "wrong"), ("nobody", "correct-horse")):
            for method in ("PUT", "DELETE"):
                self.assertEqual(server.status(method, name, b"x", login), 401)
        for path in ("/x", "/nix-cache-info", "/nar/../x", "/nar/", "/" + "0" * 32 + ".narinfo/x", "/.incoming/x"):
            for method in ("PUT", "DELETE"):
                self.assertNotIn(server.status(method, path, b"x", nginx.LOGIN), (200, 201, 204), path)
        self.assertEqual(server.status("GET", "/.incoming/"), 403)
        self.assertEqual(server.status("PUT", name, b"x", nginx.LOGIN), 201)
        self.assertEqual(server.status("GET", name), 200)
        self.assertEqual(server.status("DELETE", name, login=nginx.LOGIN), 204)
        (self.cache.root / ("1" * 32 + ".narinfo")).symlink_to("/etc/shadow")
        self.assertEqual(server.status("GET", "/" + "1" * 32 + ".narinfo"), 403)

    def test_wrong_credentials_and_wrong_key(self):
        self.cache.server.use_password("wrong")
        self.assert_unpublished(self.publish(), "CacheDenied", "401")
        self.assertFalse(self.cache.narinfos())
        self.cache.server.use_password(nginx.LOGIN[1])
        right = self.cache.public
        self.cache.public = self.cache.new_key("cache-1", self.folder / "other")
        self.assert_unpublished(self.publish(), "CacheKeyInvalid", "not one of cache.publicKeys")
        self.cache.public = right
        self.cache.secret.rename(self.folder / "gone")
        self.assert_unpublished(self.publish(), "CacheKeyInvalid")
        (self.folder / "gone").rename(self.cache.secret)
        self.assert_published(self.publish())

    def test_a_server_that_is_gone_slow_or_back(self):
        self.cache.server.kill()
        down = self.publish()
        self.assert_unpublished(down, "CacheUnavailable")
        self.cache.server.start()
        children = Path(f"/proc/{self.cache.server.process.pid}/task/{self.cache.server.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()]
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        slow = self.publish("--publish-timeout", "2s")
        self.assert_unpublished(slow, "CacheTimeout", "2s")
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        back = self.publish()
        self.assert_published(back)
        self.assertIn("built already", back.log)

    def test_salted_is_never_published(self):
        built = self.publish(environment={"packages": ["bash"], "salt": "uid-cache"})
        self.assert_built(built)
        self.assertEqual(built.message["environment"]["signedBy"], "")
        self.assertFalse(self.cache.narinfos())
        self.assertFalse((self.cache.root / "environments").exists())

    def test_a_publisher_killed_after_a_nar_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            request = Path(folder) / "request.json"
            request.write_text(json.dumps({"hash": harness.new_hash(BASH), "environment": BASH}))
            self.assert_built(build(BASH))
            with subprocess.Popen([harness.BUILDER, "--store", str(harness.STORE), "--request", str(request), "--nixpkgs",
                                   harness.NIXPKGS, "--termination-log", "", *self.cache.options()],
                                  stdout=subprocess.DEVNULL) as process:
                deadline = time.monotonic() + 60
                while process.poll() is None and time.monotonic() < deadline and not list(self.cache.root.glob("nar/*")):
                    pass
                process.kill()
        self.assertTrue(list(self.cache.root.glob("nar/*")))
        self.assert_published(self.publish())


class Lies(CacheTest):
    """What the cache holds is not what was signed: it is noticed, and mended."""

    def damaged(self, damage, word):
        first = self.publish()
        self.assert_published(first)
        narinfo = self.cache.root / (Path(first.message["environment"]["storePath"]).name[:32] + ".narinfo")
        damage(narinfo)
        store_path = first.message["environment"]["storePath"]
        self.assertNotEqual(self.cache.verify(store_path).returncode, 0)
        # As if it had never been published from here.
        file = harness.STORE / "environments" / first.hash / "environment.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "signedBy": ""}))
        (self.cache.root / "environments" / first.hash).unlink()
        mended = self.publish()
        self.assertIn("replaced", mended.log, word)
        self.assert_published(mended)

    def test_unsigned(self):
        self.damaged(lambda file: file.write_text(
            "".join(line + "\n" for line in file.read_text().splitlines() if not line.startswith("Sig:"))), "unsigned")

    def test_signed_by_another(self):
        def sign(file):
            self.cache.new_key("foreign-1", self.folder / "foreign")
            lines = [line for line in file.read_text().splitlines() if not line.startswith("Sig:")]
            other = self.folder / "cache-foreign"
            path = lines[0].split()[1]
            copied = self.cache.nix("nix", "copy", "--from", f"local?root={harness.STORE}", "--to",
                                    f"file://{other}?compression=zstd&secret-key={self.folder / 'foreign'}", path)
            self.assertEqual(copied.returncode, 0, copied.stdout)
            file.write_text((other / file.name).read_text())
        self.damaged(sign, "foreign")

    def test_tampered_nar(self):
        def tamper(file):
            nar = self.cache.nar_of(file)
            content = bytearray(nar.read_bytes())
            content[len(content) // 2] ^= 0xFF
            nar.write_bytes(bytes(content))
        self.damaged(tamper, "tampered")

    def test_lost_nar(self):
        self.damaged(lambda file: self.cache.nar_of(file).unlink(), "lost")

    def test_a_doubted_environment_is_read_to_its_last_byte(self):
        first = self.publish()
        narinfo = self.cache.root / (Path(first.message["environment"]["storePath"]).name[:32] + ".narinfo")
        self.cache.nar_of(narinfo).write_bytes(b"not what was signed")
        self.assertIn("built already", self.publish().text, "its narinfo is as it was")
        mended = self.publish("--doubt-cache")
        self.assertIn("replaced", mended.log)
        self.assert_published(mended)
        with tempfile.TemporaryDirectory() as other:
            self.assert_published(self.publish("--doubt-cache", store=Path(other)))

    def test_a_signed_environment_that_lost_its_signature_is_published_again(self):
        first = self.publish()
        for narinfo in self.cache.narinfos():
            narinfo.unlink()
        again = self.publish()
        self.assert_published(again)
        self.assertEqual(len(self.cache.narinfos()), len(first.environment["closure"]))


class Collection(CacheTest):
    """What nobody needs goes from the cache: with the publisher's credentials, over nginx's JSON listing and DELETE."""
    OTHER = {"packages": ["bash", "gnused"]}

    def collect(self, live, max_bytes=1 << 30, grace=3600, store=None):
        request = self.folder / "collect.json"
        request.write_text(json.dumps({"live": live, "maxBytes": max_bytes, "graceSeconds": grace}))
        termination = self.folder / "termination"
        done = subprocess.run([harness.BUILDER, "--store", str(store or harness.STORE), "--collect", str(request),
                               "--termination-log", str(termination), *self.cache.options()],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        message = json.loads(termination.read_text())
        self.assertEqual(done.returncode == 0, message["outcome"] == "Collected", done.stdout)
        return message

    def make_old(self):
        for file in self.cache.root.rglob("*"):
            os.utime(file, (time.time() - 7200,) * 2)

    def pin(self, built):
        return {"hash": built.hash, "storePath": built.message["environment"]["storePath"], "pinned": True}

    def files(self):
        return {str(file.relative_to(self.cache.root)) for file in self.cache.root.rglob("*") if file.is_file()}

    def test_marks_from_what_is_live(self):
        keep, drop = self.publish(), self.publish(environment=self.OTHER)
        self.assert_published(keep)
        self.assert_published(drop)
        before = self.files()
        nothing = self.collect([])
        self.assertEqual((nothing["paths"], self.files()), (0, before), "all of it is younger than the grace")
        self.make_old()
        self.assertEqual(self.collect([self.pin(keep)])["paths"], 0, "it fits into the bound")
        first = self.collect([self.pin(keep)], max_bytes=1)
        self.assertEqual(first["environments"], [drop.hash])
        self.assertGreater(first["paths"], 0)
        self.assertEqual(first["freedBytes"], 0, "who reads them now may go on")
        second = self.collect([self.pin(keep)], max_bytes=1)
        self.assertGreater(second["freedBytes"], 0)
        self.assertEqual(self.cache.verify(keep.message["environment"]["storePath"]).returncode, 0)
        self.assertNotEqual(self.cache.verify(drop.message["environment"]["storePath"]).returncode, 0)
        kept = sum(nar.stat().st_size for nar in self.cache.root.glob("nar/*"))
        self.assertEqual(second["keptBytes"], kept)
        # What went comes back when it is asked for.
        again = self.publish(environment=self.OTHER)
        self.assert_published(again)
        self.assertIn("built already", again.log)

    def test_publishing_at_the_same_time(self):
        keep = self.publish()
        self.make_old()
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(lambda: self.publish(environment=self.OTHER))
            while not other.done():
                self.assertEqual(self.collect([self.pin(keep)], max_bytes=1)["outcome"], "Collected")
        self.assert_published(other.result())
        self.collect([self.pin(keep)], max_bytes=1)
        self.assert_published(self.publish())
        self.assert_published(other.result())

    def test_without_credentials_or_server_nothing_goes(self):
        built = self.publish()
        self.make_old()
        before = self.files()
        self.cache.server.use_password("wrong")
        refused = self.collect([], max_bytes=1)
        self.assertEqual(refused["outcome"], "InternalError")
        self.assertIn("401", refused["message"])
        self.assertEqual(self.files(), before)
        self.cache.server.kill()
        self.assertEqual(self.collect([], max_bytes=1)["outcome"], "InternalError")
        self.cache.server.start()
        self.assert_published(built)


class Folder(CacheTest):
    """file://, as `envicutor up` has it."""
    web = False

    def test_publishes(self):
        self.assert_published(self.publish())

    def test_an_environment_that_the_store_lost_is_there_again(self):
        first = self.publish()
        self.assert_published(first)
        subprocess.run([harness.BUILDER, "--store", str(harness.STORE), "--remove", first.hash, "--termination-log", ""],
                       check=True)
        self.assertFalse(first.view.exists())
        again = self.publish()
        self.assert_published(again)
        self.assertTrue(again.view.exists())

    def test_collects(self):
        built = self.publish()
        for file in self.cache.root.rglob("*"):
            os.utime(file, (time.time() - 7200,) * 2)
        self.assertEqual(Collection.collect(self, [], max_bytes=1)["environments"], [built.hash])
        self.assertFalse(self.cache.narinfos())
        Collection.collect(self, [], max_bytes=1)
        self.assertFalse(list(self.cache.root.glob("nar/*")))

    def test_full_disk(self):
        self.cache.root.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.cache.root)], check=True)
        try:
            self.assert_unpublished(self.publish(), "CacheFull")
        finally:
            subprocess.run(["umount", str(self.cache.root)], check=True)
        self.assert_published(self.publish())
