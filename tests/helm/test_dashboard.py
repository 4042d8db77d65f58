"""The dashboard: valid by Grafana's own types, every metric on it, a row for each question."""

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.docs import tables
from tests.helm.expressions import asked, dashboard, metrics_in, panels
from tests.helm.rendered import HELM
from tests.programs import require, require_library

TYPES = {"@grafana/schema": "13.2.3", "typescript": "5.9.3"}


@pytest.mark.timeout(300)
def test_it_is_a_dashboard_by_grafanas_own_types(tmp_path: Path) -> None:
    require("npm")
    packages = [f"{name}@{version}" for name, version in TYPES.items()]
    run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", *packages, folder=tmp_path)
    text = (
        (HELM / "dashboard.json").read_text().replace('"absolute"', "ThresholdsMode.Absolute")
    )  # an enum in TypeScript
    imports = 'import { type Dashboard, ThresholdsMode } from "@grafana/schema";'
    (tmp_path / "dashboard.ts").write_text(f"{imports}\nexport const dashboard: Dashboard = {text};\n")
    options = ("--strict", "--noEmit", "--skipLibCheck", "--module", "nodenext")
    run("npx", "--no-install", "tsc", *options, "dashboard.ts", folder=tmp_path)


def run(*command: str, folder: Path) -> None:
    program = shutil.which(command[0])
    assert program is not None
    told = subprocess.run([program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=200)
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_metric_is_on_it() -> None:
    shown = set().union(*(metrics_in(target["expr"]) for panel in panels() for target in panel["targets"]))
    shown = {name.removesuffix("_bucket") for name in shown}
    assert shown == {row.split("`")[1] for row in tables.metrics()[2:]}


@pytest.mark.parametrize(("name", "expression"), list(asked()))
def test_every_expression_is_promql(name: str, expression: str) -> None:
    del name
    require_library("promql_parser").parse(expression)


def test_every_row_is_a_question_and_every_panel_explains_itself() -> None:
    everything = dashboard()["panels"]
    rows = [panel for panel in everything if panel["type"] == "row"]
    assert all(row["title"].endswith("?") for row in rows)
    assert everything[0] in rows
    assert all(first != second for first, second in pairwise(panel in rows for panel in everything) if first)
    assert all(panel["description"].endswith(".") for panel in panels())
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert max(columns) < 24
        taken |= cells


def test_everything_is_asked_of_the_chosen_prometheus_and_job() -> None:
    variables: dict[str, Any] = {each["name"]: each for each in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "team"]
    for panel in panels():
        assert panel["datasource"]["uid"] == "$datasource"
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count('{job=~"$job"')
    assert json.dumps(dashboard()).count("gateway_") > 30
