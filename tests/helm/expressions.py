"""What the alerts and the dashboard ask Prometheus."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.helm.rendered import HELM
from tests.programs import require_library

COMPARISONS = (">", "<", ">=", "<=", "==")

Rule = dict[str, Any]


def rules() -> list[Rule]:
    """Every alert."""
    (group,) = yaml.safe_load((HELM / "alerts.yaml").read_text())["groups"]
    found: list[Rule] = group["rules"]
    return found


def dashboard() -> Any:
    """The dashboard."""
    return json.loads((HELM / "dashboard.json").read_text())


def panels() -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def asked() -> Iterator[tuple[str, str]]:
    """Every expression with the name of what asks it, as it would be asked of a Prometheus with one gateway."""
    for rule in rules():
        yield rule["alert"], without_comparison(rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            text = re.sub(r"\$(job|team)", ".*", target["expr"])
            yield panel["title"], text.replace("$__rate_interval", "1m")


def without_comparison(expression: str) -> str:
    """What is compared with a number in it, for any number: whether it has any value at all."""
    parser = require_library("promql_parser")

    def keep_left(node: Any) -> Any:
        if isinstance(node, parser.BinaryExpr) and str(node.op) in COMPARISONS:
            return node.lhs
        if isinstance(node, parser.Call) and node.func.name == "absent":
            return node.args[0]
        return None

    return str(parser.transform(parser.parse(expression), None, keep_left).prettify())


def metrics_in(expression: str) -> set[str]:
    """The metrics an expression reads."""
    return set(re.findall(r"\bgateway_\w+", expression))
