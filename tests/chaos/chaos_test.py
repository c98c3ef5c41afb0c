"""Chaos with the real binaries: rounds of faults (a bad network, stopped and killed processes, full disks, clock
jumps) while submissions come in; each acknowledged one ends once, with its own right result.

ENVICUTOR_CHAOS_SEED=N      the sequence of faults (printed with each round; default 1)
ENVICUTOR_CHAOS_SECONDS=N   how long rounds are begun (default 45; a night: 28800)
ENVICUTOR_CHAOS_REAL=1      on etcd and a real kube-apiserver, every fault once
ENVICUTOR_CHAOS_KEEP=1      leaves logs and data in /var/tmp
"""

import os
import subprocess

import pytest

from chaos_cluster import ROOT, ChaosCluster, Unavailable
from rounds import Rounds

SEED = int(os.environ.get("ENVICUTOR_CHAOS_SEED", "1"))
SECONDS = int(os.environ.get("ENVICUTOR_CHAOS_SECONDS", "45"))
REAL = bool(os.environ.get("ENVICUTOR_CHAOS_REAL"))


@pytest.fixture(scope="module")
def cluster():
    cluster = ChaosCluster(real=REAL, seed=SEED)
    try:
        try:
            cluster.prepare()
            cluster.start()
        except Unavailable as why:
            pytest.skip(f"no chaos here: {why}")
        cluster.kubectl("apply", "-f", ROOT / "docs" / "examples" / "runtimes" / "bash.yaml")
        cluster.kubectl("wait", "--for=condition=Ready", "runtime/bash", "--timeout=110s")
        yield cluster
    finally:
        cluster.stop()


def test_rounds(cluster):
    rounds = Rounds(cluster, SEED)
    wrong = rounds.run(rounds=len(all_names(cluster)), each_fault=True) if REAL else \
        rounds.run(seconds=SECONDS, each_fault=True)
    print(f"{len(rounds.done)} rounds, {len(rounds.expected)} submissions, seed {SEED}")
    assert not wrong, f"ENVICUTOR_CHAOS_SEED={SEED}: {wrong[:10]}; logs: {logs(cluster)}"


def all_names(cluster):
    from faults import all_faults
    return all_faults(cluster)


def logs(cluster):
    return {n: subprocess.run(["tail", "-c", "1200", cluster.dir / f"{n}.log"], capture_output=True, text=True).stdout
            for n in ("operator-a", "operator-b", "node", "kube-apiserver")}
