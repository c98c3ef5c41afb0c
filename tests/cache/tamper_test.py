"""Promise P7: what nobody trusted signed never runs. A cache that was tampered with, for an environment and for
something in its closure: the program does not start, the reason is said, other environments go on, and once the
cache is healed the same submission runs."""

import shutil
import subprocess

import pytest

import harness


def bash_of(site):
    return next(p for p in site.built.closure() if "-bash-" in p)


def coreutils_of(site):
    """It needs others, which bash does not."""
    return next(p for p in site.built.closure() if "-coreutils-" in p)


def flip(file, at=-40):
    """One bit."""
    data = bytearray(file.read_bytes())
    data[at if at >= 0 else len(data) + at] ^= 1
    file.write_bytes(data)


def tampered_nar(site):
    flip(site.nar(bash_of(site)), 20_000)


def truncated_nar(site):
    file = site.nar(bash_of(site))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def lost_nar(site):
    site.nar(bash_of(site)).unlink()


def swapped_nars(site):
    a, b = site.nar(bash_of(site)), site.nar(next(p for p in site.built.closure() if "-coreutils-" in p))
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def hashed(file):
    return "sha256:" + subprocess.run(["nix-hash", "--type", "sha256", "--base32", "--flat", file], check=True,
                                      capture_output=True, text=True).stdout.strip()


def rehashed_narinfo(site):
    """Another program under bash's name, its hashes and sizes put right, bash's signature kept."""
    other = next(p for p in site.built.closure() if "-coreutils-" in p)
    theirs = site.fields(other)
    shutil.copy(site.nar(other), site.nar(bash_of(site)))
    site.edit(bash_of(site), FileHash=hashed(site.nar(other)), FileSize=theirs["FileSize"], NarHash=theirs["NarHash"],
              NarSize=theirs["NarSize"])


def edited_references(site):
    site.edit(References="")


def edited_references_of_a_dependency(site):
    needs = site.fields(coreutils_of(site))["References"].split()
    assert len(needs) > 1
    site.edit(coreutils_of(site), References=needs[0])


def foreign_key(site):
    shutil.rmtree(site.cache)
    site.cache.mkdir()
    (site.cache / ".incoming").mkdir()
    site.built.publish(site.cache, key="evil")


def foreign_key_under_our_name(site):
    foreign_key(site)
    for file in site.cache.glob("*.narinfo"):
        file.write_text(file.read_text().replace("Sig: evil-1:", "Sig: good-1:"))


def unsigned(site):
    site.edit(Sig=None)


def unsigned_dependency(site):
    site.edit(bash_of(site), Sig=None)


def another_environments_narinfo(site):
    """A user's environment under another's name: signed, but not as that path."""
    site.narinfo().write_text(site.narinfo(site.built.other_path).read_text())


def another_environment_renamed(site):
    text = site.narinfo(site.built.other_path).read_text()
    site.narinfo().write_text(text.replace(site.built.other_path, site.built.path))


def decompression_bomb(site):
    """A signed narinfo, its NAR replaced by gigabytes of zeros in some hundred kilobytes."""
    with site.nar(bash_of(site)).open("wb") as out:
        zeros = subprocess.Popen(["head", "-c", "4G", "/dev/zero"], stdout=subprocess.PIPE)
        subprocess.run(["zstd", "-q", "-1"] if shutil.which("zstd") else ["gzip", "-1"], stdin=zeros.stdout, stdout=out,
                       check=True)
        zeros.wait()


REFUSED = [tampered_nar, swapped_nars, rehashed_narinfo, edited_references, edited_references_of_a_dependency,
           foreign_key, foreign_key_under_our_name, unsigned, unsigned_dependency, another_environment_renamed]
UNAVAILABLE = [truncated_nar, lost_nar, another_environments_narinfo, decompression_bomb]


@pytest.mark.parametrize("attack", REFUSED + UNAVAILABLE, ids=lambda attack: attack.__name__)
def test_spoiled_cache(site, attack):
    attack(site)
    agent = site.agent()
    marker = agent.folder / "ran"
    result = agent.run()
    assert result["environmentUnavailable"], result
    assert result["verdict"] == "EnvironmentError"
    assert "run" not in result, "the program ran"
    assert not marker.exists() and not agent.has()
    message = result["message"]
    if attack in REFUSED:
        assert "refused" in message and site.built.path.split("-", 1)[0][:11] in message, message
    # Which path, so that somebody can look at it.
    assert "/nix/store/" in message or "nar" in message, message

    # Nobody else waits for it: what is here runs.
    assert agent.call("GET", "/v1/info")[1]["busySlots"] == 0
    # Healed: the same submission's next attempt runs.
    site.pristine()

    def runs():
        after = agent.run()
        return None if after["environmentUnavailable"] else after
    assert harness.stdout_of(harness.wait_for("a run after the cache was healed", runs, 40)) == "ran\n"


def test_signed_by_a_key_that_is_configured_too(site):
    """Several keys: whichever of them signed it."""
    foreign_key(site)
    both = f"{site.built.public} {(site.built.folder / 'evil.public').read_text().strip()}"
    assert harness.stdout_of(site.agent(keys=both).run()) == "ran\n"


def test_refused_content_is_not_used_later(site):
    """Nix leaves a refused path's files in the store. They count for nothing, and the collector removes them."""
    tampered_nar(site)
    agent = site.agent()
    bash = bash_of(site)
    assert agent.run()["environmentUnavailable"]
    left = agent.store / bash[1:]
    agent.put_environments()

    harness.wait_for("the removal of what was refused", lambda: not left.exists())
    known = harness.nix(site.folder / "home", "nix", "path-info", "--store", f"local?root={agent.store}", bash,
                        check=False)
    assert known.returncode != 0


def test_a_submission_cannot_write_the_store(site):
    agent = site.agent()
    result = agent.run('set -e; for where in /nix/store /nix/store/*-bash*/bin; do '
                       'if (echo x > "$where/x") 2>/dev/null; then echo "wrote $where"; fi; '
                       'if (: >> "$where/bash") 2>/dev/null; then echo "opened $where/bash"; fi; done; '
                       'if command -v nix; then echo nix; fi; echo done')
    assert harness.stdout_of(result) == "done\n"
    # What is on the store is still what was signed.
    harness.nix(site.folder / "home", "nix", "store", "verify", "--store", f"local?root={agent.store}", "-r",
                "--sigs-needed", "1", "--option", "trusted-public-keys", site.built.public, site.built.path)


def test_a_submission_cannot_reach_the_cache(site):
    """No network but its own loopback: neither reading nor PUT."""
    agent = site.agent()
    result = agent.run(f'if (exec 3<>/dev/tcp/127.0.0.1/{site.nginx.port}) 2>/dev/null; then echo reached; fi; '
                       'echo done')
    assert harness.stdout_of(result) == "done\n"


def test_only_the_publisher_writes_the_cache(site):
    import http.client
    for headers, allowed in (({}, False), ({"Authorization": "Basic cHVibGlzaGVyOndyb25n"}, False),
                             ({"Authorization": "Basic cHVibGlzaGVyOnNlY3JldA=="}, True)):
        connection = http.client.HTTPConnection("127.0.0.1", site.nginx.port, timeout=10)
        connection.request("PUT", f"/{site.narinfo().name}", b"", headers)
        status = connection.getresponse().status
        assert (status in (201, 204)) == allowed, (headers, status)
        assert allowed or site.narinfo().read_text()
