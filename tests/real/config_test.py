"""The operator's configuration changes while it runs."""

import json
import signal

import pytest

from harness import of, submission, unique
from waiting import until


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


def test_a_changed_configuration_is_in_force_without_a_restart(real, cluster):
    name = real.names[real.operator.pid]
    path = real.dir / f"{name}.yaml"
    before = path.read_text()

    def says(*words, times=1):
        lines = (real.dir / f"{name}.log").read_text().splitlines()
        return sum(all(w in line for w in words) for line in lines) >= times

    path.write_text("{queue: {maxLength: none}}")
    until(lambda: says("not valid", "queue.maxLength", "executorTls.caFile"), 20, "every mistake is listed")
    assert cluster.run_one(of("bash", "echo old"))["status"]["verdict"] == "Accepted"

    bounded = json.loads(before)
    bounded["scheduling"] = {"inFlightPerNamespace": {"default": 1}}
    bounded["executorNamespace"] = "elsewhere"
    path.write_text(json.dumps(bounded))
    real.operator.send_signal(signal.SIGHUP)
    until(lambda: says("configuration read again", "scheduling"), 20, "the new bound is in force")
    until(lambda: says("need a restart", "executorNamespace"), 5, "what only a restart changes is named")
    names = [unique("bounded") for _ in range(2)]
    cluster.create([submission(n, of("bash", "sleep 3")) for n in names])

    def phases():
        found = [s.get("status", {}) for s in cluster.list("submissions") if s["metadata"]["name"] in names]
        return sorted((s.get("phase", ""), s.get("reason", "")) for s in found)

    until(lambda: phases() == [("Pending", "QueuedBehind"), ("Running", "")], 20, "one runs, one waits, with free slots")
    path.write_text(before)
    assert {s["status"]["verdict"] for s in cluster.wait_finished(names).values()} == {"Accepted"}
    until(lambda: says("configuration read again", "scheduling", times=2), 20, "the old one is in force again")
