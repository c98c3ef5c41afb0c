"""Every object of the chart, taken by a real API server to the letter: unknown and doubled fields are errors, and
Pod Security's profile "restricted" has nothing to say."""

import pytest
import yaml

from chart import MATRIX

# Of other projects' types: there are no definitions of them here.
FOREIGN = ("monitoring.coreos.com/", "cert-manager.io/")


def documents(objects):
    for item in objects:
        if item["apiVersion"].startswith(FOREIGN):
            continue
        yield item
        # What the setup Job applies.
        if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("-objects"):
            yield from (yaml.safe_load(text) for text in (item["data"] or {}).values())


@pytest.mark.parametrize("name", MATRIX)
def test_every_object_is_valid(chart, kubectl, name):
    values = {**MATRIX[name]}
    rendered = list(documents(chart.objects(values)))
    # The types are there already, by an apply of crds/: an update of them is what an upgrade does.
    create = [o for o in rendered if o["kind"] not in ("CustomResourceDefinition", "Namespace")]
    apply = [o for o in rendered if o["kind"] in ("CustomResourceDefinition", "Namespace")]
    if values.get("executors", {}).get("namespace", {}).get("name") == "sandboxes":
        kubectl("create", "namespace", "sandboxes")
    for verb, objects in (("create", create), ("apply", apply)):
        if not objects:
            continue
        done = kubectl(verb, "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects))
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == len(objects)


def test_pods_fit_the_restricted_profile(chart, kubectl):
    done = kubectl("label", "namespace", "envicutor-system", "--overwrite",
                   "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
    assert done.returncode == 0, done.stderr
    for item in chart.objects(MATRIX["everything on"]):
        if item["kind"] not in ("Deployment", "StatefulSet", "Job", "CronJob", "Pod"):
            continue
        done = kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(item))
        assert done.returncode == 0 and "would violate" not in done.stderr, done.stderr
