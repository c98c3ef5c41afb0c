"""What a report of measure.py says about the goals of docs/performance.md."""


def ratios(f):
    """(what, measured, baseline, ratio, the ratio to reach)"""
    rows = []

    def row(what, a, b, reach, ratio=None):
        rows.append((what, a, b, ratio or (round(a / b, 3) if b else None), reach))

    bare = f.get("bare", {})
    # The goal is about a server that was given: ours is measured against 500 a second.
    allowed = ">= 0.7" if f["api"] == "real" else ""
    if "low" in f and bare:
        base = bare["connections1"]["createMillis"]["p50"] + bare["connections1"]["patchMillis"]["p50"]
        row("create to Finished, one at a time: p50 ms against bare create + patch",
            f["low"]["createToFinishedMillis"]["p50"], round(base, 3), "p50 <= bare + 15 ms")
    if "against" in f:
        by_turns = f["against"]
        row(f"submissions a second against bare pairs a second, by turns, medians of {len(by_turns['rounds'])}",
            by_turns["submissionsPerSecond"], by_turns["pairsPerSecond"], allowed,
            by_turns["ratio"])
    if "high" in f and bare:
        row("submissions a second against bare pairs a second", f["high"]["submissionsPerSecond"],
            bare["connections16"]["pairsPerSecond"], allowed)
        row("CPU ms a submission against a bare pair, all processes", f["high"]["cpuMillisPerSubmission"],
            bare["connections16"]["cpuMillisPerPair"], "")
        row("CPU ms a submission, all processes: so many fit on 2 cores in a second",
            round(2000 / f["high"]["cpuMillisPerSubmission"], 1), 500, ">= 1")
    if "open" in f:
        by_turns = f["open"]
        each = ", ".join(str(r["ratio"]) for r in by_turns["rounds"])
        row(f"at 70 % load, which took {by_turns['busyPercent']:.0f} % of the CPUs: p99 against p50, ms, medians of "
            f"{len(by_turns['rounds'])} ({each})", by_turns["p99"], by_turns["p50"], "<= 5", by_turns["ratio"])
    agent = f.get("agent", {})
    for connections in (1, 2):
        a, b = agent.get(f"envicutor{connections}"), agent.get(f"goJudge{connections}")
        if a and b and "millis" in b:
            row(f"agent against go-judge, {connections} at a time: requests a second", a["requestsPerSecond"],
                b["requestsPerSecond"], ">= 1.5")
            row(f"agent against go-judge, {connections} at a time: p50 ms", a["millis"]["p50"], b["millis"]["p50"],
                "<= 0.7")
            row(f"agent against go-judge, {connections} at a time: CPU ms", a["cpuMillisPerRequest"],
                b["cpuMillisPerRequest"], "")
    judge = agent.get("goJudge2", {})
    if "high" in f and "millis" in judge:
        row("the whole way through the API server against go-judge's own API: a second",
            f["high"]["submissionsPerSecond"], judge["requestsPerSecond"], "")
    judge = agent.get("goJudge1", {})
    if "low" in f and "millis" in judge:
        row("the whole way against go-judge's own API, one at a time: p50 ms", f["low"]["createToFinishedMillis"]["p50"],
            judge["millis"]["p50"], "")
    if "contest" in f:
        row("100 tests, compiled: seconds", f["contest"]["compiled"]["seconds"], 1, "<= 1")
    if "restart" in f:
        row("operator start to first dispatch, seconds", f["restart"]["startToFirstDispatchSeconds"], 2, "<= 1")
    return rows
