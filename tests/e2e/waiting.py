"""Waiting for what a condition sees, bounded."""

import time


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)  # between looks, as kubectl wait does
