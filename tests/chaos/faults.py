"""What can happen to a ChaosCluster. Each fault is a context: it begins, the round goes on for a while, it is
healed. What ended because of it is started again, as a service manager would."""

import contextlib
import os
import signal


@contextlib.contextmanager
def network(cluster, name, mode):
    cluster.proxy.set(name, mode)
    try:
        yield
    finally:
        cluster.proxy.set(name, "clear")


@contextlib.contextmanager
def stopped(cluster, part):
    """SIGSTOP and, later, SIGCONT."""
    pids = cluster.pids(part)
    pids = pids[:1] if part == "executor" else pids
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _signal(pid, signal.SIGCONT)


@contextlib.contextmanager
def killed(cluster, part):
    for pid in cluster.pids(part)[:1]:
        _signal(pid, signal.SIGKILL)
    yield


@contextlib.contextmanager
def full_disk(cluster, name):
    path = cluster.disks[name] / "chaos-fill"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        block = bytes(1 << 20)
        with contextlib.suppress(OSError):
            while True:
                os.write(fd, block)
        with contextlib.suppress(OSError):
            while True:
                os.write(fd, block[:4096])
        yield
    finally:
        os.close(fd)
        path.unlink()


@contextlib.contextmanager
def clock_jump(cluster, seconds):
    """The operators' wall clock, not the monotonic one."""
    cluster.clock.write_text(f"{seconds:+d}\n")
    try:
        yield
    finally:
        cluster.clock.write_text("+0\n")


def _signal(pid, number):
    with contextlib.suppress(OSError):
        os.kill(pid, number)


def all_faults(cluster):
    """name -> how to begin it."""
    faults = {}
    for side in ("api", "agents"):
        for mode in ("slow", "cut", "half-open", "flaky"):
            faults[f"{side} connections {mode}"] = lambda s=side, m=mode: network(cluster, s, m)
    for part in ("operator-a", "operator-b", "executor", "kube-apiserver", "node"):
        faults[f"SIGSTOP {part}"] = lambda p=part: stopped(cluster, p)
        faults[f"kill -9 {part}"] = lambda p=part: killed(cluster, p)
    for disk in cluster.disks:
        faults[f"full disk of {disk}"] = lambda d=disk: full_disk(cluster, d)
    if cluster.faketime:
        for seconds in (3600, -3600):
            faults[f"clock {seconds:+d} s"] = lambda s=seconds: clock_jump(cluster, s)
    return faults
