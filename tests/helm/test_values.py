"""The values: closed at every level, explained, and the settings among them those that there are."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from gateway.cli.options import SETTINGS
from gateway.settings import variable_of
from tests.helm.rendered import HELM, render
from tests.helm.values_table import rows, with_table
from tests.programs import beside_python, require_library

SCHEMA: dict[str, Any] = json.loads((HELM / "values.schema.json").read_text())

OF_THE_CHART = {
    *("upstream_url", "simulate", "public_url", "policies", "ledger", "host", "port", "admin_host", "admin_port"),
    *("admin_token", "admin_token_file", "tls_cert", "tls_key"),
}
"""Settings that are values of their own, that the image sets, or that need files which no value can give."""


def levels(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, with where it is."""
    if isinstance(schema, list):
        for each in schema:
            yield from levels(each, path)
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, below in schema.items():
            yield from levels(below, f"{path}/{name}")


def test_the_schema_is_one() -> None:
    command = [beside_python("check-jsonschema"), "--check-metaschema", str(HELM / "values.schema.json")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_no_level_takes_what_nobody_knows() -> None:
    found = dict(levels(SCHEMA))
    assert len(found) > 40
    for path, level in found.items():
        assert "additionalProperties" in level, path
        assert level["additionalProperties"] is False or "type" in level["additionalProperties"], path


def test_every_value_is_in_the_schema_and_the_other_way_round() -> None:
    values = yaml.safe_load((HELM / "values.yaml").read_text())
    assert list(values) == list(SCHEMA["properties"])
    for name, value in values.items():
        below = SCHEMA["properties"][name].get("properties")
        if below and value:
            assert set(value) <= set(below), name
            if name not in ("settings", "resources"):
                assert set(value) == set(below), name


def test_the_settings_are_those_of_the_gateway() -> None:
    others = {variable_of(name) for name in SETTINGS if name not in OF_THE_CHART}
    assert set(SCHEMA["properties"]["settings"]["properties"]) == others
    assert set(SETTINGS) >= OF_THE_CHART


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "at '': additional properties 'replicas' not allowed"),
        ({"replicaCount": "two"}, "at '/replicaCount': got string, want integer"),
        ({"image": {"name": "x"}}, "at '/image': additional properties 'name' not allowed"),
        ({"image": {"digest": "9f86"}}, "at '/image/digest': '9f86' does not match pattern"),
        ({"ledger": {"type": "mysql"}}, "at '/ledger/type': value must be one of 'sqlite', 'postgresql'"),
        ({"ledger": {"persistence": {"sice": "1Gi"}}}, "at '/ledger/persistence': additional properties 'sice'"),
        ({"settings": {"GATEWAY_WORKER": 2}}, "at '/settings': additional properties 'GATEWAY_WORKER' not allowed"),
        ({"settings": {"GATEWAY_PORT": 80}}, "at '/settings': additional properties 'GATEWAY_PORT' not allowed"),
        ({"policies": {"team.yml": "team: x"}}, "'team.yml' does not match pattern"),
        ({"upstream": {"url": "https://gmi.example.com/api"}}, "at '/upstream/url'"),
        ({"service": {"port": 0}}, "at '/service/port': minimum: got 0, want 1"),
        ({"extraEnv": [{"name": "A", "valueFrom": {"secret": "s"}}]}, "additional properties 'secret' not allowed"),
        ({"tolerations": [{"effekt": "NoSchedule"}]}, "at '/tolerations/0': additional properties 'effekt'"),
        ({"networkPolicy": {"publicFrom": []}}, "at '/networkPolicy/publicFrom': minItems: got 0, want 1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(values: dict[str, Any], said: str) -> None:
    with pytest.raises(require_library("helm_python").errors.HelmValuesError, match=re.escape(said)):
        render(values)


def test_the_table_of_values_is_current() -> None:
    readme = (HELM / "README.md").read_text()
    assert readme == with_table(readme), "run python -m tests.helm.values_table"


def test_every_value_is_explained() -> None:
    explained = {row.split("`")[1] for row in rows()}
    values = yaml.safe_load((HELM / "values.yaml").read_text())
    for name, value in values.items():
        grouped = isinstance(value, dict) and SCHEMA["properties"][name].get("properties") and value
        for path in [f"{name}.{below}" for below in value] if grouped and name not in explained else [name]:
            assert path in explained or any(each.startswith(f"{path}.") for each in explained), path
