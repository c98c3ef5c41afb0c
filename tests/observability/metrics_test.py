"""The metrics of docs/api.md are there and move; every one that is there is in docs/operations.md."""

import re

from harness import ROOT

# (name, labels) that a load like conftest's must have moved on the operator
MOVED = [
    ("envicutor_submissions_total", 'runtime="bash"', 'verdict="Accepted"'),
    ("envicutor_submissions_total", 'verdict="RuntimeError"'),
    ("envicutor_submissions_total", 'verdict="Signaled"'),
    ("envicutor_submissions_total", 'verdict="TimeLimitExceeded"'),
    ("envicutor_submissions_total", 'verdict="OutputLimitExceeded"'),
    ("envicutor_submissions_total", 'verdict="MemoryLimitExceeded"'),
    ("envicutor_submissions_total", 'verdict="CompileError"'),
    ("envicutor_submissions_total", 'verdict="WrongAnswer"'),
    ("envicutor_submissions_total", 'verdict="Rejected"'),
    ("envicutor_submissions_total", 'runtime="<environment>"'),
    ("envicutor_queue_seconds_count",),
    ("envicutor_overhead_seconds_count",),
    ("envicutor_stage_seconds_count", 'stage="run"'),
    ("envicutor_stage_seconds_count", 'stage="compile"'),
    ("envicutor_stage_seconds_count", 'stage="environment"'),
    ("envicutor_runtime_build_seconds_count", 'result="success"'),
    ("envicutor_runtimes", 'phase="Ready"'),
    ("envicutor_submissions", 'phase="Completed"'),
    ("envicutor_compile_cache_total", 'result="hit"'),
    ("envicutor_compile_cache_total", 'result="miss"'),
    ("workqueue_adds_total", 'name="submission"'),
    ("workqueue_queue_duration_seconds_count", 'name="submission"'),
    ("workqueue_work_duration_seconds_count", 'name="submission"'),
    ("controller_runtime_reconcile_total", 'controller="submission"', 'result="success"'),
    ("controller_runtime_reconcile_total", 'controller="submission"', 'result="requeue_after"'),
    ("controller_runtime_reconcile_time_seconds_count", 'controller="submission"'),
    ("rest_client_requests_total", 'code="200"', 'method="PATCH"'),
    ("rest_client_requests_total", 'code="200"', 'method="PUT"'),
]
# Those that stand still in a quiet system, and are there all the same.
THERE = [
    ("envicutor_build_info", 'version="'), ("envicutor_executors", 'state="ready"'),
    ("envicutor_slots", 'state="free"'), ("envicutor_slots", 'state="busy"'),
    ("envicutor_cache_fetch_seconds_count",), ("envicutor_cache_bytes",), ("envicutor_retries_total",),
    ("envicutor_config_last_reload_successful",), ("envicutor_config_reloads_total", 'result="failure"'),
    ("workqueue_depth", 'name="runtime"'), ("workqueue_retries_total", 'name="submission"'),
    ("workqueue_unfinished_work_seconds", 'name="submission"'),
    ("workqueue_longest_running_processor_seconds", 'name="submission"'),
    ("controller_runtime_reconcile_errors_total", 'controller="submission"'),
    ("controller_runtime_active_workers", 'controller="submission"'),
    ("controller_runtime_max_concurrent_reconciles", 'controller="submission"'),
    ("leader_election_master_status", 'name="envicutor-operator"'),
]
AGENT_MOVED = [
    ("envicutor_agent_runs_total", 'verdict="Accepted"'), ("envicutor_agent_stage_seconds_count", 'stage="run"'),
    ("envicutor_agent_stage_seconds_count", 'stage="compile"'),
    ("envicutor_agent_sandbox_overhead_seconds_count",), ("envicutor_agent_oom_kills_total",),
    ("envicutor_agent_journal_bytes",), ("envicutor_agent_compile_cache_total", 'result="miss"'),
    ("envicutor_agent_compile_cache_bytes",),
]
AGENT_THERE = [
    ("envicutor_agent_runs", 'state="running"'), ("envicutor_agent_slots", 'state="free"'),
    ("envicutor_agent_memory_bytes", 'state="free"'), ("envicutor_agent_sandbox_errors_total", 'stage="run"'),
    ("envicutor_agent_requests_refused_total",), ("envicutor_agent_lost_runs_total",),
    ("envicutor_agent_closure_fetch_seconds_count",), ("envicutor_agent_closure_bytes",),
    ("envicutor_build_info",),
]


def sum_of(agents, *series):
    found = [total for total in (agent.total(*series) for agent in agents) if total is not None]
    return sum(found) if found else None


def test_the_load_ended_in_every_way(watched):
    wanted = {"Accepted", "RuntimeError", "Signaled", "TimeLimitExceeded", "OutputLimitExceeded",
              "MemoryLimitExceeded", "CompileError", "WrongAnswer", "Rejected"}
    assert wanted == set(watched.verdicts)


def test_every_metric_of_the_operator_is_there_and_moves(watched):
    before, after = watched.before[0], watched.after[0]
    missing = [s for s in MOVED + THERE if after.total(*s) is None]
    assert not missing
    still = [s for s in MOVED if after.total(*s) <= (before.total(*s) or 0)]
    assert not still
    assert after.total("leader_election_master_status") == 1
    assert after.total("envicutor_build_info") == 1


def test_every_metric_of_the_agent_is_there_and_moves(watched):
    before, after = watched.before[1], watched.after[1]
    missing = [s for s in AGENT_MOVED + AGENT_THERE if sum_of(after, *s) is None]
    assert not missing
    still = [s for s in AGENT_MOVED if sum_of(after, *s) <= (sum_of(before, *s) or 0)]
    assert not still


def test_labels_are_from_fixed_sets(watched):
    """No label of any series holds what a submitter chose: names of submissions, namespaces, paths."""
    allowed = {"le", "verdict", "runtime", "phase", "stage", "pool", "state", "result", "version", "name",
               "controller", "code", "method", "host"}
    for samples in [watched.after[0], *watched.after[1]]:
        for series in samples:
            labels = set(re.findall(r'(\w+)="', series.partition("{")[2]))
            assert labels <= allowed, series


def test_every_metric_is_in_the_operations_guide(watched):
    guide = (ROOT / "docs/operations.md").read_text()
    names = {re.sub(r"_(bucket|sum|count)$", "", n) for s in [watched.after[0], *watched.after[1]] for n in s.names()}
    assert not sorted(n for n in names if f"`{n}" not in guide)
