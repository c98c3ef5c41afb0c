"""The operator's and the node's rights are as small as can be. All of tests/real runs with exactly the
rules of helm/envicutor/files; here each is taken away: the operator says what it misses, loses nothing,
and goes on when the right comes back."""

import contextlib
import copy
import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from harness import of, submission, unique
from waiting import until

EXECUTORS = "envicutor-executors"
SYSTEM = "envicutor-system"
GROUPS = {"submissions": "envicutor.io", "runtimes": "envicutor.io", "executorpools": "envicutor.io",
          "leases": "coordination.k8s.io"}
# A busy host may hold up a renewal; only the last test is about the lease.
PATIENT = {"leaseDuration": "60s", "renewDeadline": "50s", "retryPeriod": "2s"}
NAMESPACE = {"clusterRules": "default", "operatorNamespaceRules": SYSTEM, "executorNamespaceRules": EXECUTORS}


@pytest.fixture(scope="module")
def cluster(shell):
    return shell


class Operator:
    """An operator process, what it says, and what its account may do."""

    def __init__(self, real, name, **more):
        self.real, self.name = real, name
        self.account = real.accounts["envicutor-operator"]
        self.read_from = 0
        assert real.plane.end(real.operator) == 0
        real.operator = real.start_operator(name, **more)

    def log(self):
        return (self.real.dir / f"{self.name}.log").read_text()[self.read_from:].replace('\\"', '"')

    def says(self, *words, seconds=15):
        """A line of its log since the last change of rights has all the words."""
        def line():
            return next((l for l in self.log().splitlines() if all(w in l for w in words)), None)
        return until(line, seconds, f"a line of the operator's log with {words}; it has: {self.log()[-1500:]}")

    def misses(self, right):
        """It says which right it misses, in the API server's words."""
        _, resource, verb = right.split()
        self.says("forbidden", f'cannot {verb} resource "{resource}"')

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.real.probe_ports[self.name]}/readyz", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            assert error.code == 503
            return False
        except OSError:
            return False

    def allow_all_but(self, *rights):
        """Each right is "PART RESOURCE VERB"; returns when the API server knows."""
        rules = copy.deepcopy(self.account.rules)
        for right in rights:
            part, resource, verb = right.split()
            for rule in rules[part]:
                if rule["resources"] == [resource] and verb in rule["verbs"]:
                    rule["verbs"].remove(verb)
                    break
            else:
                raise AssertionError(f"there is no such rule: {right}")
            rules[part] = [rule for rule in rules[part] if rule["verbs"]]
        self.read_from = len((self.real.dir / f"{self.name}.log").read_text())
        self.account.allow(rules)
        for right in rights:
            until(lambda: not self.may(right), 10, f"{right} is taken away")

    @contextlib.contextmanager
    def without(self, *rights):
        self.allow_all_but(*rights)
        try:
            yield
        finally:
            self.allow_all_but()

    def may(self, right):
        part, resource, verb = right.split()
        resource, _, subresource = resource.partition("/")
        full = f"{resource}.{GROUPS[resource]}" if resource in GROUPS else resource
        name = "/envicutor-operator" if resource == "leases" and verb != "create" else ""
        asked = subprocess.run(["kubectl", "--kubeconfig", self.real.kubeconfig, "auth", "can-i", verb, full + name,
                                f"--as={self.account.user}", "-n", NAMESPACE[part]]
                               + ([f"--subresource={subresource}"] if subresource else []),
                               capture_output=True, text=True, timeout=30)
        return asked.stdout.strip() == "yes"


@pytest.fixture(scope="module")
def operator(real, cluster):
    return Operator(real, "rbac", leaderElection=PATIENT)


def status_of(cluster, name):
    return cluster.get("submission", name).get("status", {})


def runtime(name):
    return {"apiVersion": "envicutor.io/v1alpha1", "kind": "Runtime", "metadata": {"name": name},
            "spec": {"environment": {"packages": ["bash", "coreutils", "findutils", "gnugrep", "gnused"]},
                     "sourceFile": "main.sh", "run": {"script": "exec bash main.sh"}}}


def scale(cluster, executors):
    cluster.kubectl("patch", "executorpool", "default", "--type=merge",
                    "-p", json.dumps({"spec": {"minReplicas": executors, "maxReplicas": executors}}))


def pods(cluster):
    return {p["metadata"]["name"] for p in cluster.list("pods", EXECUTORS, "app.kubernetes.io/component=executor")
            if "deletionTimestamp" not in p["metadata"]}


def events(cluster, name, namespace="default"):
    found = cluster.list("events", namespace)
    return {e["reason"] for e in found if e["involvedObject"]["name"] == name}


def test_results_pods_and_finalizers_wait_for_the_right(real, cluster, operator):
    rights = ("clusterRules submissions/status update", "clusterRules runtimes patch",
              "clusterRules executorpools/status patch", "clusterRules events patch",
              "executorNamespaceRules pods create")
    program, language = unique("status"), unique("finalizer")
    with operator.without(*rights):
        cluster.create([submission(program, of("bash", "echo once")), runtime(language)])
        scale(cluster, real.executors + 1)
        for right in rights:
            operator.misses(right)
        assert status_of(cluster, program) == {} and len(pods(cluster)) == real.executors
        assert "CreateFailed" in events(cluster, "default")
        assert "finalizers" not in cluster.get("runtime", language)["metadata"]
    done = cluster.wait_finished([program])[program]["status"]
    assert (done["verdict"], done["stages"]["run"]["stdout"]) == ("Accepted", "once\n")
    cluster.wait_runtimes([language], timeout=60)
    cluster.kubectl("delete", "runtime", language, "--timeout=30s")  # its finalizer goes
    until(lambda: len(pods(cluster)) == real.executors + 1, 20, "the pool has grown")
    until(lambda: cluster.get("executorpool", "default")["status"]["replicas"] == real.executors + 1, 20,
          "the pool's status says so")


def test_inputs_events_builds_and_deletions_wait_for_the_right(real, cluster, operator):
    rights = ("clusterRules submissions delete", "clusterRules runtimes/status patch", "clusterRules configmaps get",
              "clusterRules events create", "executorNamespaceRules pods delete",
              "executorNamespaceRules configmaps create")
    short, reads, refused, builds = (unique(n) for n in ("ttl", "reads", "refused", "builds"))
    language = unique("language")
    cluster.create([{"apiVersion": "v1", "kind": "ConfigMap", "data": {"in": "given\n"},
                     "metadata": {"name": reads, "labels": {"envicutor.io/input": "true"}}}])
    operator.allow_all_but(*rights)
    try:
        scale(cluster, real.executors)
        cluster.create([
            submission(short, of("bash", "true", ttlSecondsAfterFinished=1)), runtime(language),
            submission(reads, of("bash", "cat", run={"stdinFrom": {"configMapKeyRef": {"name": reads, "key": "in"}}})),
            submission(refused, of("bash", "true", run={"limits": {"memory": "900Gi"}})),
            submission(builds, {"environment": {"packages": ["bash"], "cache": False}, "run": {"script": "echo $0"}})])
        for right in rights:
            operator.misses(right)
        waits = until(lambda: status_of(cluster, reads).get("message"), 10, "the submission says what it waits for")
        assert status_of(cluster, reads)["phase"] == "Pending" and 'cannot get resource "configmaps"' in waits
        assert status_of(cluster, refused)["reason"] == "Rejected" and not events(cluster, refused)
        assert len(pods(cluster)) == real.executors + 1
        assert not cluster.get("runtime", language).get("status")
    except BaseException:
        operator.allow_all_but()
        raise
    # Straight to the next: in between, the build would go through.
    cleaning = ("executorNamespaceRules configmaps delete", "executorNamespaceRules configmaps patch")
    operator.allow_all_but(*cleaning)
    done = cluster.wait_finished([reads, builds])
    assert done[reads]["status"]["stages"]["run"]["stdout"] == "given\n"
    assert done[builds]["status"]["verdict"] == "Accepted", done[builds]["status"]
    for right in cleaning:
        operator.misses(right)
    operator.allow_all_but()
    until(lambda: not [m for m in cluster.list("configmaps", EXECUTORS) if m["metadata"]["name"].startswith("builder-")],
          150, "what builds needed is removed")  # its backoff is as long as it was away
    cluster.kubectl("wait", "--for=delete", f"submission/{short}", "--timeout=30s")
    cluster.wait_runtimes([language], timeout=60)
    until(lambda: len(pods(cluster)) == real.executors, 20, "the pool has shrunk")
    again = cluster.run_one(of("bash", "true", run={"limits": {"memory": "900Gi"}}))
    until(lambda: "Rejected" in events(cluster, again["metadata"]["name"]), 10, "events are written again")


def test_without_lists_it_is_not_ready_and_without_watches_it_lists(real, cluster, operator):
    followed = [f"clusterRules {r}" for r in ("submissions", "runtimes", "executorpools")]
    followed.append("executorNamespaceRules pods")
    operator.allow_all_but(*(f"{r} list" for r in followed))
    operator = Operator(real, "rbac-lists", leaderElection=PATIENT)
    for right in followed:
        operator.misses(right + " list")
    assert not operator.ready()
    blind = [f"{r} watch" for r in followed] + ["clusterRules submissions get"]
    operator.allow_all_but(*blind)
    until(operator.ready, 40, "it is ready without watches")
    # A result that meets another write reads the submission again; without a watch it always meets one.
    name = unique("conflict")
    cluster.create([submission(name, of("bash", "sleep 1; echo once"))])
    deadline = time.monotonic() + 60
    while f'cannot get resource "submissions"' not in operator.log():
        assert time.monotonic() < deadline, operator.log()[-2000:]
        cluster.kubectl("annotate", "submission", name, f"example.com/now={time.monotonic_ns()}", "--overwrite")
    for right in blind:
        operator.misses(right)
    operator.allow_all_but()
    assert cluster.wait_finished([name])[name]["status"]["verdict"] == "Accepted"


def test_without_its_lease_it_stops(real, cluster):
    operator = Operator(real, "rbac-lease")
    until(operator.ready, 30, "it leads")
    lease = "operatorNamespaceRules leases"
    operator.allow_all_but(f"{lease} get")
    assert real.operator.wait(30) == 1
    operator.says("the lease was lost")
    operator.misses(f"{lease} get")
    operator.account.allow(operator.account.rules)
    # Nobody writes while nobody leads; the next one says what keeps it from leading.
    real.kubectl("delete", "lease", "envicutor-operator", "-n", SYSTEM)
    operator.allow_all_but(f"{lease} create", f"{lease} update")
    name = unique("led")
    cluster.create([submission(name, of("bash", "echo once"))])
    real.operator = real.start_operator("rbac-create")
    operator.name = "rbac-create"
    operator.read_from = 0
    operator.misses(f"{lease} create")
    assert not operator.ready()
    assert status_of(cluster, name) == {}
    # By the create it leads; it cannot renew, so it ends with its lease.
    operator.allow_all_but(f"{lease} update")
    operator.misses(f"{lease} update")
    assert real.operator.wait(30) == 1
    real.operator = real.start_operator("rbac-update")
    operator.account.allow(operator.account.rules)
    done = cluster.wait_finished([name])[name]["status"]
    assert (done["verdict"], done["stages"]["run"]["stdout"]) == ("Accepted", "once\n")


def test_each_rule_is_used_and_nothing_else_is_asked_for(real):
    """By the API server's audit log of all that was done before."""
    lines = [json.loads(line) for line in real.plane.audit.read_text().splitlines()]
    for name, account in real.accounts.items():
        used, refused = set(), set()
        for line in lines:
            if line["user"]["username"] != account.user or "objectRef" not in line:
                continue
            ref = line["objectRef"]
            resource = ref["resource"] + ("/" + ref["subresource"] if "subresource" in ref else "")
            allowed = line["annotations"]["authorization.k8s.io/decision"] == "allow"
            (used if allowed else refused).add((ref.get("namespace", ""), resource, line["verb"]))
        rules = {(part, resource, verb) for part, given in account.rules.items() for rule in given
                 for resource in rule["resources"] for verb in rule["verbs"]}
        spaces = type(account).NAMESPACES
        # Of a pod that fails again and again; nothing here does.
        rules -= {("executorNamespaceRules", "events", "patch")}
        unused = {rule for rule in rules if not any(
            rule[1:] == (resource, verb) and spaces[rule[0]] in (None, namespace)
            for namespace, resource, verb in used | refused)}
        assert not unused, f"rules of {name} that nothing needs"
        known = {(resource, verb) for given in account.rules.values() for rule in given
                 for resource in rule["resources"] for verb in rule["verbs"]}
        assert {(resource, verb) for _, resource, verb in refused} <= known, f"{name} asks for more than it may"
