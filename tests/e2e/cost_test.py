"""What a short Submission costs the API server: two writes, the user's create included (promise P4).

Counted from the outside, in the history that a watch shows: ADDED is the create, each MODIFIED a write."""

import json
import os
import subprocess

from harness import of, submission, unique


def events_of(stream):
    """Watch events as kubectl prints them, one JSON document after the other."""
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text += line
        try:
            event, end = decoder.raw_decode(text)
        except ValueError:
            continue
        text = text[end:].lstrip()
        yield event


def test_a_short_submission_costs_two_writes(cluster):
    env = dict(os.environ, KUBECONFIG=cluster.kubeconfig)
    watch = subprocess.Popen(
        ["kubectl", "get", "submissions", "--watch", "--output-watch-events", "-o", "json"],
        env=env, stdout=subprocess.PIPE, text=True)
    try:
        cluster.run_one(of("bash", "true"))
        events = events_of(watch.stdout)
        next(events)  # the watch is established once it has shown something
        measured = [unique("cost") for _ in range(10)]
        for name in measured:
            cluster.create([submission(name, of("bash", "echo cheap"))])
            cluster.wait_finished([name])
        last = measured[-1]
        cluster.kubectl("delete", "submissions", *measured)
        seen = {name: [] for name in measured}
        for event in events:
            name = event["object"]["metadata"]["name"]
            if name in seen:
                seen[name].append((event["type"], event["object"].get("status", {}).get("phase")))
                if name == last and event["type"] == "DELETED":
                    break
    finally:
        watch.terminate()
        watch.wait()
    wanted = [("ADDED", None), ("MODIFIED", "Completed"), ("DELETED", "Completed")]
    assert all(history == wanted for history in seen.values()), seen
