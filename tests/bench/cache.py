#!/usr/bin/env python3
"""What the shared cache costs, on this machine:

  a submission on a fresh executor    over a plain `nix-store --realise` of the same closure: to reach, 200 ms more
  a Runtime that is in the cache      from apply to Ready, on the node that built it and on a second one
  an inline environment               cold (built), warm (built before): to reach, under 5 ms more than a Runtime's

    ENVICUTOR_BIN=build/release/bin tests/bench/cache.py [--rounds N]

As root; needs nix-bin, nginx-light, openssl and what `envicutor up` needs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cache"))

import harness  # noqa: E402
import two_nodes_test as two  # noqa: E402


def median(values):
    return f"{statistics.median(values):.0f} ms (from {min(values):.0f} to {max(values):.0f})"


def millis(do):
    start = time.monotonic()
    do()
    return (time.monotonic() - start) * 1000


def fresh_executor(rounds):
    folder = Path(tempfile.mkdtemp(prefix="envicutor-bench-", dir="/var/tmp"))
    os.chmod(folder, 0o755)
    try:
        built = harness.Built(folder)
        built.publish(folder / "cache")
        tls = harness.certificates(folder / "tls")
        nginx = harness.Nginx(folder / "nginx", folder / "cache")
        plain, runs, fetches, warm = [], [], [], []
        for i in range(rounds):
            settings = f"substituters = {nginx.url}\ntrusted-public-keys = {built.public}\nmax-jobs = 8\n"
            plain.append(millis(lambda: harness.nix(
                folder / f"home{i}", "nix-store", "--store", f"local?root={folder}/plain{i}", "--realise", built.path,
                settings=settings)))
            agent = harness.Agent(folder / f"agent{i}", tls, built, nginx.url)

            def run():
                result = agent.result(agent.submit())
                assert harness.stdout_of(result) == "ran\n", result
                fetches.append(result["environmentFetchMillis"])
            runs.append(millis(run))
            warm.append(millis(run))
            agent.stop()
        nginx.stop()
        print(f"closure: {len(built.closure())} paths")
        print(f"plain nix-store --realise into an empty store: {median(plain)}")
        print(f"submission on a fresh executor, to its result:  {median(runs)}")
        print(f"  of it, bringing the environment:              {median([f for f in fetches if f])}")
        print(f"  over the plain fetch:                         {statistics.median(runs) - statistics.median(plain):.0f} "
              "ms (to reach: 200)")
        print(f"the same again, warm:                           {median(warm)}")
    finally:
        harness.remove(folder)


def system(rounds):
    nodes = two.Nodes()
    try:
        nodes.start()
        ready = "Runtime, apply to Ready"
        print(f"{ready}, built:            {millis(lambda: nodes.apply_runtime(two.runtime('first'))):.0f} ms")
        print(f"{ready}, in the cache:     {millis(lambda: nodes.apply_runtime(two.runtime('again'))):.0f} ms")
        nodes.join()
        first = millis(lambda: nodes.apply_runtime(two.runtime("elsewhere", "second")))
        print(f"{ready}, on a node that starts and fetches: {first:.0f} ms")

        def inline(text):
            return {"environment": {"shell": "{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { packages = [ pkgs.bash "
                                             f"pkgs.coreutils ]; X = \"{text}\"; }}"}, "run": {"script": "echo x"}}
        print(f"submission with an inline environment, cold: "
              f"{millis(lambda: nodes.run_one(inline('cold'), timeout=300)):.0f} ms")
        # What the operator and the executor say, so that kubectl's own time does not count.
        of_runtime, of_inline = [], []
        for _ in range(rounds):
            for spec, into in ((two.e2e.of("first", "echo x"), of_runtime), (inline("cold"), of_inline)):
                status = nodes.run_one(spec, timeout=60)["status"]
                assert status.get("verdict") == "Accepted", json.dumps(status)[:500]
                into.append(status["queueMillis"] + status["overheadMillis"])
        print(f"queue and overhead of a Runtime's submission:            {median(of_runtime)}")
        print(f"queue and overhead with an inline environment, warm:     {median(of_inline)}")
        print(f"  more: {statistics.median(of_inline) - statistics.median(of_runtime):.1f} ms (to reach: 5)")
    finally:
        nodes.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", choices=["executor", "system"])
    arguments = parser.parse_args()
    if arguments.only != "system":
        fresh_executor(arguments.rounds)
    if arguments.only != "executor":
        system(arguments.rounds)


if __name__ == "__main__":
    main()
