"""Envicutor on a real kube-apiserver and etcd under load: what system.Up is for the embedded API server."""

import os
import signal
import sys
from pathlib import Path

import system

sys.path.insert(0, str(system.ROOT / "tests" / "real"))
from cluster import RealCluster  # noqa: E402
from control_plane import Unavailable  # noqa: E402, F401

# While the operator stands still for a baseline, its lease must not end.
PATIENT = {"leaderElection": {"leaseDuration": "300s", "renewDeadline": "280s", "retryPeriod": "2s"}}


class RealUp(system.Up):
    """One executor on this host, degraded, with `slots`; the control plane is tests/real's."""

    def __init__(self, slots):
        self.cluster = RealCluster(degraded=True)
        self.slots = slots
        self.level = "info"

    def fetch(self):
        """Also the control plane's programs. control_plane.Unavailable."""
        self.cluster.prepare()

    def start(self):
        self.cluster.start()
        self.kubeconfig = self.cluster.kubeconfig
        self.data = Path(self.cluster.dir)
        # Started in the first place for its pool; from here on patient, and one by one.
        self.operator = self.cluster.operator
        self.restart_operator()

    def stop(self):
        self.cluster.stop()

    def status(self):
        """Everything is a child of this process: it is the root of the tree that is measured."""
        return {"supervisor": os.getpid(), "operator": self.operator.pid, "node": self.cluster.node.pid}

    def log(self, name):
        return self.data / f"{name}.log"

    def debug_log(self, on):
        """The next operator with level debug, or as it was."""
        self.level = "debug" if on else "info"
        self.restart_operator()

    def restart_operator(self):
        """SIGTERM, not kill -9: it gives its lease back, which the next would have to wait out."""
        self.operator.send_signal(signal.SIGTERM)
        self.operator.send_signal(signal.SIGCONT)  # it may stand still
        self.operator.wait(timeout=60)
        self.cluster.plane.processes = [(n, p) for n, p in self.cluster.plane.processes if p is not self.operator]
        self.operator = self.cluster.start_operator("operator", log={"level": self.level}, **PATIENT)
