"""A cache that is down, slow, lying or cut off, a full disk, a killed agent: a clear reason and another try, never a
wrong program, never a queue that stands still."""

import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness


def runs_again(agent, seconds=40):
    def runs():
        result = agent.run()
        return None if result["environmentUnavailable"] else result
    assert harness.stdout_of(harness.wait_for("a run after the cache was healed", runs, seconds)) == "ran\n"


def test_several_at_once_fetch_once(site):
    agent = site.agent()
    uids = [agent.submit() for _ in range(8)]
    results = [agent.result(uid) for uid in uids]
    assert [harness.stdout_of(r) for r in results] == ["ran\n"] * 8
    assert agent.fetches() == 1
    assert all(r["environmentFetchMillis"] > 0 for r in results)
    # And from then on none.
    assert agent.run()["environmentFetchMillis"] == 0
    assert agent.fetches() == 1


def test_the_cache_is_down(site):
    agent = site.agent()
    site.nginx.stop(signal.SIGKILL)
    result = agent.run()
    assert result["environmentUnavailable"] and not agent.has()
    assert site.nginx.url in result["message"]
    # Others that ask meanwhile are answered at once, from memory.
    start = time.monotonic()
    assert agent.run()["environmentUnavailable"]
    assert time.monotonic() - start < 10
    site.nginx.start()
    runs_again(agent)


def test_what_is_here_runs_without_the_cache(site):
    agent = site.agent()
    assert harness.stdout_of(agent.run()) == "ran\n"
    site.nginx.stop(signal.SIGKILL)
    assert harness.stdout_of(agent.run()) == "ran\n"


class Liar:
    """Answers every request with what `reply` does to the connection, whatever was asked."""

    def __init__(self, reply):
        self.reply = reply
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        try:
            while connection.recv(65536):
                self.reply(connection)
        except OSError:
            pass

    def stop(self):
        self.server.close()
        for connection in self.open:
            connection.close()


def silent(_):
    time.sleep(60)


def cut_off(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nStoreDir: /nix")
    connection.shutdown(socket.SHUT_RDWR)


def nonsense(connection):
    body = os.urandom(400)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + body)


def server_error(connection):
    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"a" * 0x10000 + b"\r\n")


@pytest.mark.parametrize("reply", [silent, cut_off, nonsense, server_error, endless], ids=lambda r: r.__name__)
def test_a_cache_that_misbehaves(site, reply):
    liar = Liar(reply)
    agent = site.agent("--cache-timeout", "5s", url=liar.url)
    uid = agent.submit()
    # Others go on meanwhile, with what comes from elsewhere: here, with what is on the store.
    assert agent.call("GET", "/v1/info")[0] == 200
    result = agent.result(uid, 60)
    assert result["environmentUnavailable"] and "run" not in result
    assert liar.url in result["message"] or "/nix/store/" in result["message"]
    assert not agent.has()
    liar.stop()


def test_a_run_may_be_cancelled_while_its_environment_comes(site):
    liar = Liar(silent)
    agent = site.agent("--cache-timeout", "60s", url=liar.url)
    uid = agent.submit()
    harness.wait_for("the fetch", lambda: any(
        r["uid"] == uid and r["stage"] == "environment" for r in agent.call("GET", "/v1/runs")[1]["runs"]))
    assert agent.call("DELETE", f"/v1/runs/{uid}/1")[0] == 202
    result = agent.result(uid, 10)
    assert result["cancelled"] and not result["environmentUnavailable"]
    liar.stop()


def test_a_slow_cache_is_waited_for(folder, built, tls):
    """Slow, but it comes."""
    from conftest import Site
    site = Site(folder, built, tls)
    site.nginx.stop()
    site.nginx = harness.Nginx(folder / "slow", site.cache,
                               server=lambda text: text.replace("root " + str(site.cache),
                                                                "limit_rate 2m; root " + str(site.cache)))
    try:
        assert harness.stdout_of(site.agent().run()) == "ran\n"
    finally:
        site.stop()


def test_the_executors_disk_is_full(site):
    store = site.folder / "small"
    store.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", store], check=True)
    try:
        filler = store / "filler"
        filler.write_bytes(b"\0" * (100 << 20))
        agent = site.agent(store=store)
        result = agent.run()
        assert result["environmentUnavailable"] and "disk is full" in result["message"], result["message"]
        assert not agent.has()
        filler.unlink()
        runs_again(agent)
        agent.stop()
    finally:
        subprocess.run(["umount", "-l", store], check=True)


@pytest.mark.parametrize("moment", [0.0, 0.3])
def test_the_agent_is_killed_amid_a_fetch(folder, built, tls, moment):
    from conftest import Site
    site = Site(folder, built, tls)
    site.nginx.stop()
    site.nginx = harness.Nginx(folder / "slow", site.cache,
                               server=lambda text: text.replace("root " + str(site.cache),
                                                                "limit_rate 2m; root " + str(site.cache)))
    try:
        agent = site.agent()
        uid = agent.submit()
        harness.wait_for("the fetch", lambda: any(
            r["uid"] == uid and r["stage"] == "environment" for r in agent.call("GET", "/v1/runs")[1]["runs"]))
        time.sleep(moment)  # which moment is the point
        agent.stop(signal.SIGKILL)
        agent.start()
        assert harness.stdout_of(agent.run(attempt=1)) == "ran\n"
        harness.nix(site.folder / "home", "nix", "store", "verify", "--store", f"local?root={agent.store}", "-r",
                    "--sigs-needed", "1", "--option", "trusted-public-keys", built.public, built.path)
    finally:
        site.stop()
