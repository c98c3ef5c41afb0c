"""One of several operators works at a time; the next takes over when it leaves."""

import json
import time

from harness import of

LEASE_SECONDS = 15  # leaderElection.leaseDuration's default


def holder(real):
    lease = json.loads(real.kubectl("get", "lease", "envicutor-operator", "-n", "envicutor-system", "-o", "json"))
    return lease["spec"].get("holderIdentity", "")


def waits(real, name):
    return "waiting for the lease" in (real.dir / f"{name}.log").read_text()


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)  # between looks, as kubectl wait does


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
