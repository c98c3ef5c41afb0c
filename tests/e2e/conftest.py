"""One Envicutor for the whole session, with the example Runtimes ready."""

import pytest

from harness import RUNTIMES, Cluster


@pytest.fixture(scope="session")
def cluster():
    c = Cluster()
    c.start()
    try:
        c.kubectl("apply", "-f", RUNTIMES)
        c.wait_runtimes(["bash", "python3", "c", "cpp"])
        yield c
    finally:
        c.stop()
