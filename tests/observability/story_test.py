"""What is told about one submission: log lines with one trace id, Events."""

import json

from harness import of, submission, unique

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def lines_about(text, needle):
    return [json.loads(line) for line in text.splitlines() if needle in line and line.startswith("{")]


def finished(cluster, spec, **annotations):
    name = unique("story")
    body = submission(name, spec)
    body["metadata"]["annotations"] = annotations
    cluster.create([body])
    return cluster.wait_finished([name])[name]


def events(cluster, name):
    found = [e for e in cluster.list("events") if e["involvedObject"]["name"] == name]
    return [(e["type"], e["reason"], e["message"]) for e in found]


def test_one_trace_id_from_apply_to_result(watched):
    made = finished(watched, of("bash", "echo traced"), **{"envicutor.io/trace-id": TRACE})
    operator, agent = lines_about(watched.operator_log(), TRACE), lines_about(watched.agent_log(), TRACE)
    assert [line["msg"] for line in operator] == ["submission dispatched", "submission finished"]
    assert [line["msg"] for line in agent] == ["run started", "run finished"]
    for line in operator + agent:
        assert line["namespace"] == "default"
        assert line["name"] == made["metadata"]["name"]
        assert line["uid"] == made["metadata"]["uid"]
        assert line["attempt"] == "1"


def test_every_line_about_a_submission_names_it(watched):
    made = finished(watched, of("bash", "echo named"))
    uid, name = made["metadata"]["uid"], made["metadata"]["name"]
    lines = lines_about(watched.operator_log() + watched.agent_log(), name)
    assert len(lines) >= 4
    for line in lines:
        assert (line["namespace"], line["name"], line["uid"]) == ("default", name, uid)
        assert line["traceId"] == uid.replace("-", "")


def test_a_short_submission_has_no_events(watched):
    for _ in range(5):
        made = finished(watched, of("bash", "echo short"))
        status = made["status"]
        assert status["verdict"] == "Accepted"
        took = status["queueMillis"] + status["overheadMillis"] + status["stages"]["run"]["wallTimeMillis"]
        told = events(watched, made["metadata"]["name"])
        assert not told or took >= 500, (took, told)  # on a busy host it may not have been a short one


def test_describe_tells_the_story_of_a_long_one(watched):
    made = finished(watched, of("bash", "sleep 2.5; exit 4"))
    text = watched.kubectl("describe", "submission", made["metadata"]["name"]).stdout
    told = text[text.index("Events:"):]
    assert "Started" in told and "attempt 1 on executor executor-default-" in told, told
    assert "Completed" in told and "RuntimeError" in told, told
    assert told.index("Started") < told.index("Completed")


def test_a_refusal_is_an_event(watched):
    made = finished(watched, of("bash", "true", run={"limits": {"wallTime": "1h"}}))
    kind, reason, message = events(watched, made["metadata"]["name"])[0]
    assert (kind, reason) == ("Warning", "Rejected")
    assert "run.limits.wallTime: 3600s is more than the maximum" in message
