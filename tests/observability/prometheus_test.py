"""The dashboard and the alerts against a real Prometheus that scrapes a running system."""

import json
import math
import re
import subprocess

import pytest
import yaml
from conftest import ALERTS, DASHBOARD, HERE, PROMETHEUS, get, mixed_load, until

from harness import ROOT

# One machine has one store: nothing is fetched, so that there is a series and no quantile.
NOT_A_NUMBER = {"Fetching a closure (p95)"}


def expressions():
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            yield pytest.param(panel["title"], target["expr"], id=f"{panel['title']}-{target['refId']}")


def rules():
    return [r for group in yaml.safe_load(ALERTS.read_text())["groups"] for r in group["rules"]]


def test_rules_are_valid_and_each_fires():
    subprocess.run(["promtool", "check", "rules", ALERTS], check=True, timeout=60)
    tests = HERE / "alerts_test.yaml"
    subprocess.run(["promtool", "test", "rules", tests], check=True, timeout=60)
    fired = set(re.findall(r'alertname="(\w+)",alertstate="firing"', tests.read_text()))
    assert fired == {r["alert"] for r in rules()}


def test_the_dashboard_is_well_formed():
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    assert [v["name"] for v in dashboard["templating"]["list"]] == ["datasource"]
    cells = set()
    for panel in panels:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not mine & cells, panel["title"]
        cells |= mine
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("rule", rules(), ids=lambda r: r["alert"])
def test_alerts_lead_to_the_guide(rule):
    page, anchor = rule["annotations"]["runbook_url"].removeprefix("https://envicutor.io/").split("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.M)
    assert anchor in [h.lower() for h in headings]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")


@pytest.fixture(scope="module")
def loaded(watched):
    """Load while Prometheus scrapes, so that rates are there."""
    mixed_load(watched, 3)
    until(lambda: float(watched.query("sum(envicutor_submissions_total)")[0]["value"][1])
          >= watched.after[0].total("envicutor_submissions_total") + 33, 20, "the end of the load is scraped")
    return watched


@pytest.mark.parametrize("title, expr", list(expressions()))
def test_panels_have_data(loaded, title, expr):
    result = loaded.query(expr.replace("$__rate_interval", "1m"))
    assert result, expr
    if title not in NOT_A_NUMBER:
        assert any(not math.isnan(float(sample["value"][1])) for sample in result), result


def test_no_alert_fires_and_all_evaluate(loaded):
    groups = json.loads(get(f"http://{PROMETHEUS}/api/v1/rules"))["data"]["groups"]
    seen = {r["name"]: r for g in groups for r in g["rules"]}
    assert set(seen) == {r["alert"] for r in rules()}
    unhealthy = {n: r.get("lastError") for n, r in seen.items() if r["health"] == "err"}
    assert not unhealthy
    # Expressions without their threshold are about series that exist here.
    for rule in rules():
        loaded.query(rule["expr"])
        for name in set(re.findall(r"(?:envicutor|workqueue|rest_client|controller_runtime|leader)_\w+", rule["expr"])):
            assert loaded.query(f"count({name})"), f"{rule['alert']}: no series {name}"
    firing = [n for n, r in seen.items() if r["state"] == "firing"]
    assert not firing
