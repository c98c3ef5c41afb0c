"""The chart without a cluster: it is what its sources say, it renders, and mistakes are named."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from chart import CHART, MATRIX, ROOT, find

BIN = Path(os.environ.get("ENVICUTOR_BIN", ROOT / "build" / "release" / "bin"))


def test_what_is_generated_is_up_to_date():
    done = subprocess.run([ROOT / "helm" / "generate", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_value_is_explained():
    missing = [line for line in (CHART / "README.md").read_text().splitlines() if re.match(r"\| `[^`]+` \|  \|", line)]
    assert not missing, missing


def test_lint_is_clean(chart):
    done = chart.run("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MATRIX)
def test_it_renders(chart, name):
    objects = chart.objects(MATRIX[name])
    keys = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects]
    assert len(keys) == len(set(keys)), "two objects of one name"
    for item in objects:
        labels = item["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "envicutor", (item["kind"], item["metadata"])
        for container in item.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("values, said", [
    ({"operator": {"replica": 3}}, "replica"),
    ({"operator": {"replicas": 0}}, "/operator/replicas"),
    ({"operator": {"config": {"limits": {"run": {"default": {"memroy": "1Gi"}}}}}}, "memroy"),
    ({"operator": {"config": {"submissions": {"allowEnvironments": "some"}}}}, "/operator/config/submissions"),
    ({"cache": {"mode": "interal"}}, "/cache/mode"),
    ({"cache": {"mode": "external"}}, "cache.url: is required"),
    ({"cache": {"mode": "external", "url": "ftp://x"}}, "/cache/url"),
    ({"cache": {"publicKeys": ["nonsense"]}}, "/cache/publicKeys/0"),
    ({"cache": {"key": {"generate": False}}}, "cache.key.existingSecret: is required"),
    ({"cache": {"key": {"generate": False, "existingSecret": "k"}}}, "cache.publicKeys: is required"),
    ({"tls": {"mode": "certManager"}}, "tls.certManager.issuerRef.name: is required"),
    ({"tls": {"validityHours": 24, "renewBeforeHours": 24}}, "tls.renewBeforeHours: must be less"),
    ({"pools": {"default": {"minReplica": 1}}}, "minReplica"),
    ({"pools": {"Big_Pool": {}}}, "Big_Pool"),
    ({"runtimes": {"examples": ["cobol"]}}, "/runtimes/examples/0"),
    ({"runtimes": {"custom": {"bash": {"environment": {"packages": ["bash"]}, "sourceFile": "m", "run": {"script": "x"}}}}},
     "runtimes.custom.bash: is in runtimes.examples too"),
    ({"runtimes": {"custom": {"x": {"run": {"skript": "x"}}}}}, "skript"),
    ({"executors": {"namespace": {"name": "envicutor-system"}}}, "executors.namespace.name: must not be"),
    ({"monitoring": {"podMonitor": {"interval": "often"}}}, "/monitoring/podMonitor/interval"),
    ({"operator": {"serviceAccount": {"create": False}}}, "operator.serviceAccount.name: is required"),
])
def test_a_bad_value_is_named(chart, values, said):
    done = chart.template(values)
    assert done.returncode != 0, "it was taken"
    assert said in done.stderr, done.stderr


@pytest.mark.parametrize("name", MATRIX)
def test_the_operator_takes_its_configuration(chart, name, tmp_path):
    if not (BIN / "envicutor-operator").exists():
        pytest.skip(f"no {BIN / 'envicutor-operator'}")
    objects = chart.objects(MATRIX[name])
    path = tmp_path / "operator.yaml"
    path.write_text(find(objects, "ConfigMap", "-operator")["data"]["operator.yaml"])
    known = {"POD_IP": "10.0.0.7", "CACHE_PUBLIC_KEY": "made-1:" + "A" * 43 + "="}
    done = subprocess.run([BIN / "envicutor-operator", "--check-config", path], env={**os.environ, **known},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operator_restarts_only_for_what_it_cannot_take_while_it_runs(chart):
    def checksum(values):
        deployment = find(chart.objects(values), "Deployment")
        return deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    before = checksum({})
    for live in ({"queue": {"maxLength": 7}}, {"limits": {"run": {"max": {"memory": "1Gi"}}}},
                 {"submissions": {"ttlSecondsAfterFinished": 7}}, {"log": {"level": "debug"}}):
        assert checksum({"operator": {"config": live}}) == before, live
    for restart in ({"operator": {"config": {"submissions": {"workers": 2}}}},
                    {"operator": {"config": {"leaderElection": {"leaseDuration": "30s"}}}},
                    {"builder": {"concurrency": 2}}, {"executors": {"image": {"tag": "next"}}}):
        assert checksum(restart) != before, restart


def test_the_setup_job_has_another_name_when_it_is_told_something_else(chart):
    def name(values):
        return next(o["metadata"]["name"] for o in chart.objects(values)
                    if o["kind"] == "Job" and "annotations" not in o["metadata"])

    assert name({}) == name({})
    assert name({}) != name({"runtimes": {"examples": ["bash", "c"]}})


def test_data_is_kept(chart):
    objects = chart.objects()
    keep = {"helm.sh/resource-policy": "keep"}
    for kind in ("CustomResourceDefinition", "Namespace"):
        for item in objects:
            if item["kind"] == kind:
                assert item["metadata"]["annotations"] == keep
    assert find(objects, "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


def test_executors_are_reached_by_the_operator_only(chart):
    policy = find(chart.objects(), "NetworkPolicy", "envicutor-executors")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    runs = [rule for rule in policy["ingress"] if {"port": 8443, "protocol": "TCP"} in rule["ports"]]
    assert len(runs) == 1 and len(runs[0]["from"]) == 1
    assert runs[0]["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "operator"
    for rule in policy["egress"]:
        assert rule["to"], "to everywhere"


def test_types_of_the_chart_are_those_of_crds(chart):
    rendered = {o["metadata"]["name"]: o["spec"] for o in chart.objects() if o["kind"] == "CustomResourceDefinition"}
    written = {}
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        written[crd["metadata"]["name"]] = crd["spec"]
    assert rendered == written


def test_the_executors_namespace_is_privileged_and_the_operator_fits_restricted(chart):
    objects = chart.objects()
    assert find(objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    job = next(o for o in objects if o["kind"] == "Job" and "annotations" not in o["metadata"])
    assert "--label-namespace" in job["spec"]["template"]["spec"]["containers"][0]["args"]
