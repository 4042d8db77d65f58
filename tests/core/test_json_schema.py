import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.core.json_schema import policy_schema
from gateway.core.nodes import Report, plain
from gateway.core.parse import FILE_FIELDS
from gateway.policies import load
from gateway.policies.yaml_nodes import compose

ROOT = Path(__file__).parents[2]
BAD = ROOT / "tests" / "policies" / "bad"
SAMPLES = sorted((ROOT / "policies").rglob("*.yaml"))
VALIDATOR = Draft202012Validator(policy_schema())

# What the schema alone must find, so that an editor shows it while it is typed.
STRUCTURAL = [
    "file-not-a-table",
    "unknown-field",
    "field-null",
    "team-missing",
    "team-not-a-name",
    "team-number",
    "models-not-a-table",
    "models-not-a-list",
    "models-number",
    "models-twice",
    "flag",
    "key-hash-missing",
    "key-hash-short",
    "key-plaintext",
    "key-scope-unknown",
    "key-scopes-none",
    "key-expires-not-a-date",
    "limit-form",
    "limit-unit",
    "limit-period",
    "limit-negative",
    "limit-list",
    "limit-models-none",
    "limit-mode",
    "limit-warn",
    "override-incomplete",
    "payload-incomplete",
    "parameter-says-nothing",
    "parameter-number",
    "parameter-one-of-table",
    "uploads-type",
    "duplicates-window-missing",
    "webhooks-secret",
    "credential-key-literal",
    "credential-key-none",
    "credential-name",
    "prices-not-a-list",
    "price-incomplete",
    "queueing-incomplete",
    "queueing-word",
    "price-text",
    "price-negative",
    "price-per",
    "price-default-zero",
    "price-when-null",
    "unpriced-word",
    "defaults-keys",
]


def read(path: Path) -> object:
    root = compose(path.read_text(), path.name, Report())
    assert root is not None
    return plain(root)


def errors(path: Path) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(read(path))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(policy_schema())
    assert json.loads(json.dumps(policy_schema())) == policy_schema()


def test_it_knows_every_field_of_a_file() -> None:
    assert set(policy_schema()["properties"]) == set(FILE_FIELDS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_are_valid(path: Path) -> None:
    assert errors(path) == []


@pytest.mark.parametrize("name", STRUCTURAL)
def test_an_editor_sees_what_is_wrong_in_one_file(name: str) -> None:
    assert errors(BAD / f"{name}.yaml")


def test_what_the_schema_refuses_the_parser_refuses_too() -> None:
    for path in sorted(BAD.glob("*.yaml")):
        root = compose(path.read_text(), path.name, Report())
        if root is not None and not VALIDATOR.is_valid(plain(root)):
            assert load(path).policy is None, path.name


def fields(schema: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of every table in the schema, with its own schema."""
    for name, field in schema.get("properties", {}).items():
        yield f"{where}/{name}", field
        yield from fields(field, f"{where}/{name}")
    parts = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", [])]
    for part in [*parts, *schema.get("$defs", {}).values()]:
        if isinstance(part, dict):
            yield from fields(part, where)


def test_every_field_is_described() -> None:
    whole = policy_schema()
    for where, field in fields(whole):
        target = whole["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field
        assert target.get("description", "").endswith("."), where


def test_every_example_is_one() -> None:
    for where, field in fields(policy_schema()):
        for example in field.get("examples", []):
            validator = Draft202012Validator({**field, "$defs": policy_schema()["$defs"]})
            assert validator.is_valid(example), where
