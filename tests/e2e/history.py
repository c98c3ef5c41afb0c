"""The history of all Submissions as a watch showed it, and the check that each has exactly one result."""

import os
import subprocess
import threading

TERMINAL = ("Completed", "Failed", "Cancelled")


class History:
    """Every terminal version of every submission that a watch showed, restarted where it broke off."""

    def __init__(self, kubeconfig, namespace="default"):
        self.terminal = {}  # name -> {(phase, verdict, completionTime, stdout's end)}
        self._kubeconfig, self._namespace = kubeconfig, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._process = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        if self._process:
            self._process.terminate()
        self._thread.join(30)

    def _watch(self):
        env = dict(os.environ, KUBECONFIG=self._kubeconfig)
        while not self._stop.is_set():
            self._process = subprocess.Popen(
                ["kubectl", "get", "submissions", "-n", self._namespace, "--watch", "-o",
                 'jsonpath={.metadata.name} {.status.phase} {.status.verdict} {.status.completionTime} '
                 '{.status.attempt}{"\\n"}'],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self._process.stdout:
                name, *rest = line.split()
                if rest and rest[0] in TERMINAL:
                    self.terminal.setdefault(name, set()).add(tuple(rest))
            self._process.wait()
            self._stop.wait(0.3)

    def wrong(self, names):
        """Submissions of which more than one result was seen: P2 of docs/guarantees.md."""
        return [f"{name}: more than one result was seen: {self.terminal[name]}" for name in names
                if len(self.terminal.get(name, ())) > 1]


def children_of(pid):
    """Process ids of all descendants."""
    parents = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parents.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(entry))
        except OSError:
            continue
    out, queue = [], [pid]
    while queue:
        for child in parents.get(queue.pop(), []):
            out.append(child)
            queue.append(child)
    return out


def executors_of(node_pid):
    """Process ids of the executors that a node runs: each is its machine, or its agent on the host."""
    found = []
    for pid in children_of(node_pid):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                if comm.read().strip() in ("linux.uml", "envicutor-execu"):
                    found.append(pid)
        except OSError:
            continue
    return found
