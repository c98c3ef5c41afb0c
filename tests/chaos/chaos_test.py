"""Chaos with the real binaries: rounds of faults (a bad network, stopped and killed processes, full disks, clock
jumps) while submissions come in; each acknowledged one ends once, with its own right result.

ENVICUTOR_CHAOS_SEED=N      the sequence of faults (printed with each round; default 1)
ENVICUTOR_CHAOS_ROUNDS=N    so many rounds; each prints its number. Default: every fault once, three at a time
ENVICUTOR_CHAOS_FROM=N      goes on at round N of the seed, after a run that ended there
ENVICUTOR_CHAOS_REAL=1      on etcd and a real kube-apiserver
ENVICUTOR_CHAOS_KEEP=1      leaves logs and data in /var/tmp
"""

import os
import subprocess

import pytest

from chaos_cluster import ROOT, ChaosCluster, Unavailable
from faults import all_faults
from proxy import MODES
from rounds import AT_ONCE, Rounds, each_once, long_run, subject

SEED = int(os.environ.get("ENVICUTOR_CHAOS_SEED", "1"))
ROUNDS = int(os.environ.get("ENVICUTOR_CHAOS_ROUNDS", "0"))
FROM = int(os.environ.get("ENVICUTOR_CHAOS_FROM", "0"))
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
    names = all_faults(cluster)
    wrong = rounds.run(long_run, ROUNDS, FROM) if ROUNDS else rounds.run(each_once, -(-len(names) // AT_ONCE), FROM)
    happened = {fault for chosen in rounds.done for fault in chosen}
    print(f"{len(rounds.done)} rounds, {len(happened)} of {len(names)} faults, {len(rounds.expected)} submissions, "
          f"seed {SEED}")
    assert not wrong, f"ENVICUTOR_CHAOS_SEED={SEED}: {wrong[:10]}; logs: {logs(cluster)}"
    assert ROUNDS or FROM or happened == set(names), set(names) - happened


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_has_each_fault_once_and_none_twice_of_a_part(seed):
    names = [f"{side} connections {mode}" for side in ("api", "agents") for mode in MODES]
    names += [f"{what} {part}" for what in ("SIGSTOP", "kill -9") for part in ("operator-a", "node", "executor")]
    names += ["full disk of api", "full disk of node", "clock +3600 s", "clock -3600 s"]
    plan = each_once(names, seed, -(-len(names) // AT_ONCE))
    assert sorted(fault for chosen, _ in plan for fault in chosen) == sorted(names)
    for chosen, held in plan:
        assert len({subject(fault) for fault in chosen}) == len(chosen), chosen
        assert 0 < held <= 4
    assert plan == each_once(names, seed, -(-len(names) // AT_ONCE))
    assert long_run(names, seed, 30)[:10] == long_run(names, seed, 10)


def logs(cluster):
    return {n: subprocess.run(["tail", "-c", "1200", cluster.dir / f"{n}.log"], capture_output=True, text=True).stdout
            for n in ("operator-a", "operator-b", "node", "kube-apiserver")}
