"""What an executor keeps: fetched ahead for runtimes, within --cache-max-size, nothing that is in use removed."""

import harness


def entry(hash_, path, kind="runtime"):
    return {"hash": hash_, "storePath": path, "kind": kind}


def test_runtimes_are_fetched_ahead(site):
    agent = site.agent()
    built = site.built
    states, _ = agent.put_environments(entry(built.hash, built.path),
                                       entry(built.other_hash, built.other_path, "submission"))
    assert states[built.hash]["state"] in ("Absent", "Fetching")
    harness.wait_for("the prefetch", agent.has)
    assert not agent.has(built.other_hash), "a submission's environment is fetched when it runs"
    states, answer = agent.put_environments(entry(built.hash, built.path))
    assert states[built.hash]["state"] == "Ready" and states[built.hash]["sizeBytes"] > 1 << 20
    assert agent.run()["environmentFetchMillis"] == 0
    harness.wait_for("the size as a metric", lambda: (agent.metric("envicutor_agent_closure_bytes") or 0) > 1 << 20)


def test_a_prefetch_that_fails_says_why(site):
    agent = site.agent()
    site.edit(Sig=None)

    def failed():
        states, _ = agent.put_environments(entry(site.built.hash, site.built.path))
        state = states[site.built.hash]
        return state["state"] == "Failed" and "refused" in state["message"]
    harness.wait_for("the refusal", failed)
    site.pristine()
    harness.wait_for("the prefetch after it was healed",
                     lambda: agent.put_environments(entry(site.built.hash, site.built.path)) and agent.has(), 60)


def test_least_recently_used_goes_first_and_what_runs_stays(site):
    agent = site.agent("--cache-max-size", "1Mi")  # less than either
    built = site.built
    running = agent.submit("echo started; sleep 15; echo ran")
    harness.wait_for("the first", agent.has)
    assert agent.run(hash_=built.other_hash, path=built.other_path)["verdict"] == "Accepted"
    # Neither is in the operator's list: the one that nobody uses goes, the other stays while it runs.
    agent.put_environments()
    harness.wait_for("the eviction", lambda: not agent.has(built.other_hash))
    assert agent.has()
    assert harness.stdout_of(agent.result(running)) == "started\nran\n"
    agent.put_environments()
    harness.wait_for("the eviction of the other", lambda: not agent.has(), 60)
    harness.wait_for("the removal of its store paths",
                     lambda: not list((agent.store / "nix/store").glob("*-bash-*")), 60)
    # And back when it is needed.
    assert harness.stdout_of(agent.run()) == "ran\n"


def test_without_a_cache_what_is_not_here_is_said(site):
    agent = site.agent(url="")
    agent.stop()
    agent = harness.Agent(site.folder / "alone", site.tls, site.built, "")
    site.agents.append(agent)
    result = agent.run()
    assert result["environmentUnavailable"] and "not on this node" in result["message"]


def test_bad_lists_are_refused(site):
    agent = site.agent()
    for body in ({"environments": [{"hash": "../x", "storePath": "", "kind": "runtime"}]},
                 {"environments": [entry(site.built.hash, "/etc/passwd")]}, {"environments": "x"}, []):
        status, answer = agent.call("PUT", "/v1/environments", body)
        assert status == 400 and answer["error"], body
