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
AT_ONCE = 3


def each_once(names, seed, rounds):
    """Every fault once in as few rounds as `rounds`, at most; then as long_run. Faults of a round are of different
    parts of the system. The same seed, the same rounds."""
    chance = random.Random(seed)
    order = list(names)
    chance.shuffle(order)
    plan = [[] for _ in range(max(1, min(rounds, -(-len(order) // AT_ONCE))))]
    for name in order:
        fitting = [r for r in plan if subject(name) not in map(subject, r)]
        min(fitting or plan, key=len).append(name)
    plan = [(chosen, chance.uniform(1.5, 4)) for chosen in plan]
    return plan + long_run(names, seed + 1, rounds)[len(plan):]


def long_run(names, seed, rounds):
    """One to three faults a round; round N of a seed does not depend on how many there are."""
    plan = []
    for number in range(rounds):
        chance = random.Random(seed * 1_000_003 + number)
        chosen = []
        for name in chance.sample(names, chance.choice((1, 1, 2, 3))):
            if subject(name) not in map(subject, chosen):
                chosen.append(name)
        plan.append((chosen, chance.uniform(0.5, 4)))
    return plan


def subject(fault):
    """What a fault hurts: "SIGSTOP node" and "kill -9 node" are of one."""
    words = fault.removeprefix("SIGSTOP ").removeprefix("kill -9 ").split()
    return " ".join(words[:2]) if words[-1] in ("slow", "cut", "half-open", "flaky") else \
        words[0] if words[0] == "clock" else " ".join(words)


class Rounds:
    def __init__(self, cluster, seed, say=print):
        self.cluster, self.seed, self.say = cluster, seed, say
        self.expected = {}
        self.done = []  # names of the faults, a round each

    def run(self, plan, rounds, first=0):
        """Rounds number `first` to `rounds` - 1 of the plan. Then all must end well: a list of what did not."""
        faults = all_faults(self.cluster)
        with History(self.cluster.kubeconfig) as history:
            for number, (chosen, held) in enumerate(plan(sorted(faults), self.seed, rounds)):
                if number >= first:
                    self._round(number, chosen, held, faults)
            wrong = self._finish()
            wrong += history.wrong(self.expected)
        return wrong

    def _round(self, number, chosen, held, faults):
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
