"""One of several operators works at a time; the next takes over when it leaves."""

import json
import signal

import pytest

from harness import of, submission, unique
from waiting import until

LEASE_SECONDS = 15  # leaderElection.leaseDuration's default


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


def holder(real):
    lease = json.loads(real.kubectl("get", "lease", "envicutor-operator", "-n", "envicutor-system", "-o", "json"))
    return lease["spec"].get("holderIdentity", "")


def waits(real, name):
    return "waiting for the lease" in (real.dir / f"{name}.log").read_text()


def test_the_next_operator_takes_over(real, cluster):
    first = holder(real)
    assert first, "the operator has no lease"
    second = real.start_operator("second")
    until(lambda: waits(real, "second"), 10, "the second operator waits for the lease")
    assert cluster.run_one(of("bash", "echo one"))["status"]["verdict"] == "Accepted"
    assert holder(real) == first and second.poll() is None

    assert real.plane.end(real.operator) == 0
    real.operator = second
    # Sooner than the lease would have ended: it was given back.
    until(lambda: holder(real) not in ("", first), LEASE_SECONDS / 2, "the second operator leads")
    done = cluster.run_one(of("bash", "echo two"))["status"]
    assert done["verdict"] == "Accepted", done


def test_the_last_operator_gives_the_lease_back(real, cluster):
    assert real.plane.end(real.operator) == 0
    assert holder(real) == ""
    real.operator = real.start_operator("third")
    until(lambda: holder(real) != "", LEASE_SECONDS / 2, "the third operator leads")
    assert cluster.run_one(of("bash", "true"))["status"]["verdict"] == "Accepted"


def writes(real, begin):
    """What service accounts wrote to Submissions from `begin` on, by the API server's audit log."""
    lines = [json.loads(line) for line in real.plane.audit.read_text()[begin:].splitlines()]
    return [(line["verb"], line["objectRef"]["name"], line.get("responseStatus", {}).get("code"))
            for line in lines if line.get("objectRef", {}).get("resource") == "submissions"
            and line["verb"] not in ("get", "list", "watch")]


def test_a_leader_that_slept_longer_than_its_lease_writes_nothing(real, cluster):
    sleeper, before = real.operator, holder(real)
    following = real.start_operator("following")
    until(lambda: waits(real, "following"), 10, "the next operator waits for the lease")
    long, queued = unique("long"), [unique("queued") for _ in range(real.executors + 2)]
    cluster.create([submission(long, of("bash", "sleep 25; echo once", run={"limits": {"wallTime": "60s"}}))])
    cluster.kubectl("wait", f"submission/{long}", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    cluster.create([submission(n, of("bash", "sleep 1; echo once")) for n in queued])
    sleeper.send_signal(signal.SIGSTOP)
    real.operator = following
    try:
        until(lambda: holder(real) != before, 2 * LEASE_SECONDS, "the next operator leads")
        done = cluster.wait_finished([long, *queued])
        for finished in done.values():
            status = finished["status"]
            run = status["stages"]["run"]
            # What ran goes on where it runs: nothing is lost or doubled.
            assert (status["verdict"], run["stdout"], status["attempt"]) == ("Accepted", "once\n", 1), status
        awake = len(real.plane.audit.read_text())
    finally:
        sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(30) == 1  # its service manager starts it again
    assert "the lease was lost" in (real.dir / f"{real.names[sleeper.pid]}.log").read_text()
    assert writes(real, awake) == []
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"
