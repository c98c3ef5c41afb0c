"""Who owns which field of a Submission when its status has been written (server-side apply)."""

import json

import pytest

from harness import of, unique

FINALIZER = "example.com/held"


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


def test_what_somebody_applied_stays_theirs_and_can_be_taken_back(real, cluster):
    name = unique("applied")

    def apply(metadata):
        made = {"apiVersion": "envicutor.io/v1alpha1", "kind": "Submission",
                "metadata": {"name": name, "namespace": "default", **metadata}, "spec": of("bash", "echo hello")}
        real.kubectl("apply", "--server-side", "--field-manager=gitops", "-f", "-", stdin=json.dumps(made))

    apply({"labels": {"kept": "1", "gone": "1"}, "annotations": {"gone": "1"}, "finalizers": [FINALIZER]})
    assert cluster.wait_finished([name])[name]["status"]["verdict"] == "Accepted"
    apply({"labels": {"kept": "1"}})
    metadata = json.loads(real.kubectl("get", "submission", name, "-o", "json"))["metadata"]
    assert metadata["labels"] == {"kept": "1"}
    assert "gone" not in metadata.get("annotations", {})
    assert FINALIZER not in metadata.get("finalizers", [])
    real.kubectl("delete", "submission", name, "--timeout=30s")
