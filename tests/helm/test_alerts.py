"""The alerts: each fires in its story, asks for metrics that there are, and has its section in the operator's book."""

import re
import subprocess

import pytest
import yaml

from gateway import __version__
from gateway.telemetry import Metrics
from tests.docs.pages import OPERATING
from tests.helm.expressions import Rule, metrics_in, rules
from tests.helm.rendered import HELM
from tests.programs import require

STORIES = HELM.parent / "tests" / "helm" / "alerts.test.yaml"


def promtool(*arguments: str) -> str:
    require("promtool")
    told = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=50)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_prometheus_takes_the_rules() -> None:
    assert f"SUCCESS: {len(rules())} rules found" in promtool("check", "rules", str(HELM / "alerts.yaml"))


def test_each_alert_fires_in_its_story_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(STORIES))


def test_every_alert_has_a_story_in_which_it_fires_and_a_moment_when_it_does_not() -> None:
    told = [each for story in yaml.safe_load(STORIES.read_text())["tests"] for each in story["alert_rule_test"]]
    for fires in (True, False):
        assert {each["alertname"] for each in told if bool(each["exp_alerts"]) is fires} == names()


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    section = OPERATING.text.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    runbook = dict(re.findall(r"^### (\w+)\n\n\*(\w+):", section, re.MULTILINE))
    assert runbook == {rule["alert"]: rule["labels"]["severity"] for rule in rules()}
    assert len(re.findall(r"^### ", section, re.MULTILINE)) == len(runbook)
    assert list(runbook) == [rule["alert"] for rule in rules()], "in the order of the file"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: Rule) -> None:
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operating.md#{rule['alert'].lower()}"
    assert metrics_in(rule["expr"])
    assert metrics_in(rule["expr"]) <= series()


def names() -> set[str]:
    return {rule["alert"] for rule in rules()}


def series() -> set[str]:
    """The names of all series there can be."""
    found = set()
    for family in Metrics(__version__).registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        found |= {family.name + suffix for suffix in suffixes}
    return found
