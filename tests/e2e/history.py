"""The history of all Submissions as a watch showed it, and the check that each has exactly one result."""

import json
import os
import subprocess
import threading
from pathlib import Path

TERMINAL = ("Completed", "Failed", "Cancelled")


class History:
    """Every version of every submission that a watch showed, restarted where it broke off; each watch begins with a
    list, so what became terminal meanwhile is seen too."""

    FIELDS = ("name", "phase", "verdict", "reason", "completionTime", "attempt")

    def __init__(self, kubeconfig, namespace="default"):
        self.terminal = {}  # name -> {(phase, verdict, reason, completionTime, attempt)}
        self.silent = set()  # names of those that were Pending without a reason
        self._kubeconfig, self._namespace = kubeconfig, namespace
        self._stop = threading.Event()
        self._changed = threading.Condition()
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
        columns = "|".join("{.metadata.name}" if f == "name" else f"{{.status.{f}}}" for f in self.FIELDS)
        while not self._stop.is_set():
            self._process = subprocess.Popen(
                ["kubectl", "get", "submissions", "-n", self._namespace, "--watch", "-o",
                 f'jsonpath={columns}{{"\\n"}}'],
                env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for line in self._process.stdout:
                self._take(line.rstrip("\n").split("|"))
            self._process.wait()
            self._stop.wait(0.3)

    def _take(self, fields):
        if len(fields) != len(self.FIELDS):
            return
        name, phase, _, reason, *_ = fields
        with self._changed:
            if phase in TERMINAL:
                self.terminal.setdefault(name, set()).add(tuple(fields[1:]))
                self._changed.notify_all()
            elif phase == "Pending" and not reason:
                self.silent.add(name)

    def wrong(self, names, patience=30):
        """Promises P1 to P3 of docs/guarantees.md, of acknowledged submissions that are all terminal by now: each has
        exactly one result that was ever seen, and none waited without saying why."""
        with self._changed:
            self._changed.wait_for(lambda: all(name in self.terminal for name in names), patience)
            found = [f"{name}: {len(self.terminal.get(name, ()))} results were seen, not one: "
                     f"{self.terminal.get(name)}" for name in names if len(self.terminal.get(name, ())) != 1]
            return found + [f"{name}: was Pending without a reason" for name in self.silent & set(names)]

    def attempts(self, names):
        """The attempts of those that have ended, other than the first."""
        with self._changed:
            return {name: fields[-1] for name in names for fields in self.terminal.get(name, ()) if fields[-1] != "1"}


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


def executors_of(node_dir, uid="*"):
    """Process ids of the executors of the node whose state is there: each is its machine, or its agent on the host;
    with `uid` that of one pod."""
    found = []
    for record in sorted(Path(node_dir).glob(f"pods/{uid}/process.json")):
        try:
            init = json.loads(record.read_text())["pid"]
        except (OSError, ValueError):
            continue  # it ends just now
        for pid in children_of(init):
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read().strip() in ("linux.uml", "envicutor-execu"):
                        found.append(pid)
                        break  # the machine's kernel has threads and children of that name
            except OSError:
                continue
    return found
