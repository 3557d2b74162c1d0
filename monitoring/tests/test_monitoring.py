"""Alert rules and dashboards against what the services declare."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from streamguard_dashboards.__main__ import rendered
from streamguard_dashboards.live import (
    Question,
    answers,
    panel_questions,
    prometheus,
    rule_questions,
    silent,
    wait_until,
)
from streamguard_dashboards.panels import metrics_in

MONITORING = Path(__file__).parents[1]
DOCS = MONITORING.parent / "docs"
RULES = [MONITORING / "prometheus" / name for name in ("alerts.yml", "slo.yml")]
TESTS = sorted((MONITORING / "prometheus" / "tests").glob("*.yml"))
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))

API = DOCS / "reference" / "api.md"
NEITHER_GOOD_NOR_BAD = {
    "Restarts",  # an age: low after a restart
    "Stages of a security run",  # as long as there are events
    "Confidence",
    "Scores",
    "Events by type",
}
"""Durations and shares of which no value is a fault."""

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)"
)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def rules() -> list[dict]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[dict]:
    return [rule for rule in rules() if "alert" in rule]


def declared_metrics() -> set[str]:
    """Every metric of docs/reference/metrics.md, which a test holds to the code."""
    page = (DOCS / "reference" / "metrics.md").read_text()
    declared = {"up", *re.findall(r"`(process_\w+)`", page)}
    for line in page.splitlines():
        if found := re.match(r"\| `(\w+)` \| (\w+) ", line):
            name, kind = found.groups()
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            declared |= {name + suffix for suffix in suffixes}
    return declared


@needs_promtool
def test_the_rules_fire_and_stay_quiet_as_their_tests_say():
    outcome = subprocess.run(
        ["promtool", "test", "rules", *map(str, TESTS)], capture_output=True, text=True, timeout=60
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@needs_promtool
@pytest.mark.parametrize("stack", ["compose", "local"])
def test_the_configuration_is_valid(stack):
    config = MONITORING / "prometheus" / f"prometheus.{stack}.yml"

    outcome = subprocess.run(
        ["promtool", "check", "config", str(config)], capture_output=True, text=True, timeout=60
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_declared_metrics(rule):
    assert metrics_in(rule["expr"]) <= declared_metrics()


@needs_prometheus
def test_a_real_prometheus_evaluates_every_rule_and_panel_without_an_error():
    questions = [*panel_questions(), *rule_questions()]

    with prometheus([]) as url:
        wait_until(lambda: answers(url, "vector(1)"), 30, "Prometheus does not answer")
        refused = [line for line in silent(url, questions) if ": no data: " not in line]

        wrong = Question("a rule", "sum(", may_be_empty=True)
        (told,) = silent(url, [wrong])

    assert refused == []
    assert told.startswith("a rule: ")
    asked = {question.expression for question in questions}
    assert {rule["expr"] for rule in rules()} <= asked


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook(rule):
    page, _, heading = rule["annotations"]["runbook"].partition("#")

    headings = re.findall(r"^## (\w+)$", (DOCS.parent / page).read_text(), re.MULTILINE)
    assert heading in [found.lower() for found in headings]


def test_every_rule_has_a_test_that_fires():
    fired = {
        case["alertname"]
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert fired == {rule["alert"] for rule in alerts()}


def test_the_dashboards_are_what_the_code_writes():
    assert {path.name: path.read_text() for path in DASHBOARDS} == rendered()


def test_panels_ask_for_declared_metrics():
    asked = {name for question in panel_questions() for name in metrics_in(question.expression)}

    assert asked
    assert asked <= declared_metrics()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_follows_the_conventions_of_grafana_s_linter(path):
    dashboard = json.loads(path.read_text())
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    assert names == ["datasource", "job", "instance", "serving"]
    assert dashboard["editable"] is False
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert any(link["url"].startswith("${serving}/") for link in panel["links"])
        for target in panel["targets"]:
            assert metrics_in(target["expr"])
            assert target["expr"].count('job=~"$job", instance=~"$instance"') >= 1
            assert target["legendFormat"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_durations_and_shares_have_thresholds_that_can_be_seen(path):
    for panel in json.loads(path.read_text())["panels"]:
        if panel["type"] == "row":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        steps = defaults["thresholds"]["steps"][1:]
        if defaults["unit"] in {"s", "percentunit"}:
            assert bool(steps) != (panel["title"] in NEITHER_GOOD_NOR_BAD), panel["title"]
        values = [step["value"] for step in steps]
        assert values == sorted(set(values)), panel["title"]
        if panel["type"] == "timeseries":
            drawn = defaults["custom"]["thresholdsStyle"]["mode"]
            assert drawn == ("dashed" if steps else "off"), panel["title"]


def test_links_lead_to_routes_of_the_serving_layer():
    served = set(re.findall(r"^\| `GET (\S+?)`", API.read_text(), re.MULTILINE))
    linked = {
        link["url"].removeprefix("${serving}").partition("?")[0]
        for path in DASHBOARDS
        for panel in json.loads(path.read_text())["panels"]
        for link in panel.get("links") or []
    }

    assert linked
    assert linked <= served | {"/docs"}


def test_panels_lie_beside_each_other_and_not_upon():
    for path in DASHBOARDS:
        taken = set()
        for panel in json.loads(path.read_text())["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_every_service_is_scraped():
    for stack in ("compose", "local"):
        config = yaml.safe_load((MONITORING / "prometheus" / f"prometheus.{stack}.yml").read_text())

        jobs = {job["job_name"] for job in config["scrape_configs"]}
        assert jobs == {"speed-layer", "batch-layer", "serving-layer", "genai-assistant"}
