"""The load generator as a test: everything finishes, costs what is promised and leaves nothing. No speed."""

import json

from system import SPEC, load

COUNT = 300
# A process may grow by this from one round of COUNT to the next: allocators' noise, not a leak for each.
GROWTH_BYTES = 24 << 20


def run(up, count, *flags):
    return load("submissions", "--kubeconfig", up.kubeconfig, "--count", count, "--spec", json.dumps(SPEC),
                "--process-tree", up.status()["supervisor"], "--timeout", 120, *flags, timeout=150)


def check(report, count):
    assert report["verdicts"] == {"Accepted": count}
    assert report["shortOnesWithMoreThanTwoWrites"] == 0, report["writesPerSubmission"]


def test_closed_loop_all_finish_with_two_writes_and_memory_does_not_grow(up):
    rounds = [run(up, COUNT, "--concurrency", 8) for _ in range(3)]
    for report in rounds:
        check(report, COUNT)
        requests = report["apiRequestsPerSubmission"]
        assert requests["POST submissions"] == 1
        # What the watch shows and what the server counted agree.
        writes = sum(int(n) * count for n, count in report["writesPerSubmission"].items()) / COUNT
        assert abs(requests["POST submissions"] + requests["PUT submissions/status"] - writes) < 0.01
    first, last = rounds[0]["processes"], rounds[-1]["processes"]
    grown = {name: use["rssEndBytes"] - first[name]["rssEndBytes"] for name, use in last.items() if name in first}
    assert {name: by for name, by in grown.items() if by > GROWTH_BYTES} == {}


def test_open_loop_all_finish(up):
    report = run(up, 100, "--rate", 30, "--concurrency", 16)
    check(report, 100)
    assert report["mode"].startswith("open loop")


def test_a_restarted_operator_finishes_what_waited(up):
    """kill -9 of the operator, then load at once: it adopts and goes on."""
    up.restart_operator()
    check_all = run(up, 100, "--rate", 1000, "--concurrency", 8)
    assert check_all["verdicts"] == {"Accepted": 100}
