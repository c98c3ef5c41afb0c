"""The embedded API server answers as a real kube-apiserver does: the same requests to both, and the answers
compared word for word. Where they differ and may, difference_reasons.py says why; a reason that is not
needed any more fails too."""

import json
import os

import pytest

from control_plane import Unavailable
from difference_cases import KUBECTL, SCENARIOS
from difference_reasons import REASONS
from two_servers import TwoServers, differences, plain


@pytest.fixture(scope="module")
def servers():
    both = None
    try:
        both = TwoServers()
        both.start()
        yield both.embedded, both.real
    except Unavailable as why:
        pytest.skip(f"no real kube-apiserver here: {why}")
    finally:
        if both:
            both.stop()


def prepare(server, ns):
    """A scenario's own namespace."""
    server.kept = {"ns": ns}
    answer = server.request("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})
    assert answer.status == 201, (server.name, answer.body)


def ask(server, case):
    name, method, path, body, options = case
    path = server.fill(path)
    if "watch" in options:
        answer = server.watch(path, options["watch"])
    else:
        answer = server.request(method, path, None if body is None else server.fill(body),
                                options.get("kind", "application/json"), options.get("accept", "application/json"))
    said = {"code": answer.status}
    if not options.get("volatile"):
        said["body"] = plain(answer.body, server)
    if options.get("managed"):
        said["managed"] = managed(answer.body)
    if options.get("sorted"):  # a real server walks maps: causes come in any order
        said["body"].pop("message", None)
        said["body"].get("details", {}).get("causes", []).sort(key=lambda c: json.dumps(c, sort_keys=True))
    if options.get("warning"):
        said["warning"] = plain(answer.headers.get("Warning", ""), server)
    for kept, where in options.get("keep", {}).items():
        server.keep(kept, answer, *where)
    return said


def managed(body):
    """Whose fields are whose; in the order of names, as the entries' own is that of their times."""
    entries = body.get("metadata", {}).get("managedFields", []) if isinstance(body, dict) else []
    assert all(entry.pop("time", None) for entry in entries if "time" in entry)
    return sorted(entries, key=lambda e: (e.get("manager"), e.get("operation"), e.get("subresource", "")))


def compare(embedded, real, case):
    """What differs, "path: embedded | real"."""
    return differences(ask(embedded, case), ask(real, case))


def compare_kubectl(embedded, real, command):
    name, arguments, stdin = command
    said = []
    for server in (embedded, real):
        done = server.kubectl("-n", server.kept["ns"], *arguments, 
                              stdin=None if stdin is None else json.dumps(stdin))
        said.append({"status": done.returncode, "stdout": plain(done.stdout.splitlines(), server),
                     "stderr": plain(done.stderr.splitlines(), server)})
    return differences(*said)


def judge(where, found):
    """A difference without a reason, or a reason without a difference."""
    reason = REASONS.get(where)
    if found and reason is None:
        return [f"{where}: embedded | real: {d}" for d in found[:6]]
    if not found and reason is not None:
        return [f"{where}: there is no difference any more: take its reason away ({reason})"]
    return []


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_the_same_answers(servers, scenario):
    embedded, real = servers
    ns = f"d{os.getpid()}-{sorted(SCENARIOS).index(scenario)}"
    for server in servers:
        prepare(server, ns)
    wrong = []
    for case in SCENARIOS[scenario]:
        wrong += judge(f"{scenario}/{case[0]}", compare(embedded, real, case))
    assert not wrong, "\n".join(wrong)


def test_kubectl_sees_the_same(servers):
    embedded, real = servers
    for server in servers:
        prepare(server, f"d{os.getpid()}-k")
    wrong = []
    for command in KUBECTL:
        wrong += judge(f"kubectl/{command[0]}", compare_kubectl(embedded, real, command))
    assert not wrong, "\n".join(wrong)


def test_every_reason_has_its_case():
    cases = {f"{scenario}/{case[0]}" for scenario, cases in SCENARIOS.items() for case in cases}
    cases |= {f"kubectl/{command[0]}" for command in KUBECTL}
    assert set(REASONS) <= cases, sorted(set(REASONS) - cases)
