"""Rounds of faults over a stream of submissions. One seed, one sequence of faults."""

import contextlib
import json
import random
import subprocess
import time

from faults import all_faults
from harness import TERMINAL, differences, of, submission, unique
from history import History

PER_ROUND = 6


class Rounds:
    def __init__(self, cluster, seed, say=print):
        self.cluster, self.seed, self.say = cluster, seed, say
        self.random = random.Random(seed)
        self.expected = {}
        self.done = []  # names of the faults, a round each

    def run(self, rounds=None, seconds=None, each_fault=False):
        """`rounds` rounds, or as many as begin within `seconds`; with each_fault first every fault once.
        Then all must end well: a list of what did not."""
        deadline = None if seconds is None else time.monotonic() + seconds
        faults = all_faults(self.cluster)
        order = sorted(faults)
        self.random.shuffle(order)
        with History(self.cluster.kubeconfig) as history:
            count = 0
            while (rounds is not None and count < rounds) or (deadline and time.monotonic() < deadline):
                if each_fault and count < len(order):
                    chosen = [order[count]]
                else:
                    chosen = self.random.sample(order, self.random.choice((1, 1, 2)))
                self._round(count, chosen, faults)
                count += 1
            wrong = self._finish()
            wrong += history.wrong(self.expected)
        return wrong

    def _round(self, number, chosen, faults):
        held = self.random.uniform(0.5, 4)
        self.say(f"round {number} (seed {self.seed}): {', '.join(chosen)} for {held:.1f} s", flush=True)
        self.done.append(chosen)
        items = {}
        for _ in range(PER_ROUND):
            i = len(self.expected) + len(items)
            items[unique(f"c{self.seed}")] = i
        names = list(items)
        self._create({n: items[n] for n in names[:PER_ROUND // 2]})
        with contextlib.ExitStack() as stack:
            for fault in chosen:
                stack.enter_context(faults[fault]())
            end = time.monotonic() + held
            self._create({n: items[n] for n in names[PER_ROUND // 2:]}, patience=0.1)
            while time.monotonic() < end:
                self.cluster.alive()
                time.sleep(0.1)  # the fault lasts
        self._create({n: i for n, i in items.items() if n not in self.expected})

    def _create(self, items, patience=60):
        """Acknowledged creates are expected to end; others are tried again for `patience` seconds."""
        deadline = time.monotonic() + patience
        while items:
            bodies = [submission(n, of("bash", f"echo {i}; sleep 0.0{i % 5}; exit {i % 3}", maxAttempts=10))
                      for n, i in items.items()]
            try:
                done = subprocess.run(
                    ["kubectl", "--kubeconfig", self.cluster.kubeconfig, "create", "-f", "-"], text=True,
                    input="\n---\n".join(map(json.dumps, bodies)), capture_output=True, timeout=10)
                said = done.stdout + done.stderr
            except subprocess.TimeoutExpired:
                said = ""
            for name in list(items):
                if f"submission.envicutor.io/{name} created" in said or \
                        f'submissions.envicutor.io "{name}" already exists' in said:
                    self.expected[name] = items.pop(name)
            if not items or time.monotonic() > deadline:
                return
            self.cluster.alive()
            time.sleep(0.3)

    def _finish(self, patience=120):
        deadline = time.monotonic() + patience
        open_ = dict(self.expected)
        wrong = []
        while open_:
            self.cluster.alive()
            listed = subprocess.run(["kubectl", "--kubeconfig", self.cluster.kubeconfig, "get", "submissions", "-o",
                                     "json"], capture_output=True, text=True, timeout=60)
            if listed.returncode == 0:
                found = {s["metadata"]["name"]: s.get("status", {}) for s in json.loads(listed.stdout)["items"]}
                for name in list(open_):
                    if name not in found:
                        wrong.append(f"{name}: was acknowledged and is gone")
                        del open_[name]
                    elif found[name].get("phase") in TERMINAL:
                        i = open_.pop(name)
                        expect = {"exit_code": i % 3, "stdout": f"{i}\n",
                                  "verdict": "Accepted" if i % 3 == 0 else "RuntimeError"}
                        wrong += [f"{name}: {d} ({json.dumps(found[name])[:600]})"
                                  for d in differences(expect, found[name])]
                    elif time.monotonic() > deadline:
                        wrong.append(f"{name}: not finished {patience} s after the last fault: "
                                     f"{json.dumps(found[name])[:600]}")
                        del open_[name]
            if open_ and time.monotonic() > deadline + 30:
                return wrong + [f"no answer from the API server; open: {sorted(open_)[:5]}"]
            time.sleep(0.3)  # between polls of the API, as kubectl wait does
        return wrong
