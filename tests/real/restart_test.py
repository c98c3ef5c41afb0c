"""What is there continues after the API server was away."""

import pytest

from harness import of, output, submission, unique


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


def test_the_api_server_restarts_amid_a_run(real, cluster):
    name, queued = unique("amid"), [unique("queued") for _ in range(6)]
    cluster.create([submission(name, of("bash", "sleep 8; echo there"))] +
                   [submission(q, of("bash", "sleep 1; echo there")) for q in queued])
    cluster.kubectl("wait", f"submission/{name}", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    real.plane.restart_apiserver()
    if real.operator.poll() is not None:  # away for longer than the lease's renewDeadline: a Deployment restarts it
        real.operator = real.start_operator("restarted")
    done = cluster.wait_finished([name, *queued])
    for submitted in done.values():
        status = submitted["status"]
        assert (status["verdict"], output(status["stages"]["run"])) == ("Accepted", b"there\n"), status
    assert cluster.run_one(of("bash", "echo after"))["status"]["verdict"] == "Accepted"
