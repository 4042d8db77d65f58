"""What the pages list is what there is: both ways."""

import argparse
import ast
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from gateway.cli.options import SETTINGS
from gateway.cli.parser import COMMANDS
from gateway.core.json_schema import policy_schema
from gateway.core.lifecycle import Outcome, State
from gateway.core.parse_team import DEFAULT_FIELDS
from gateway.core.policy import Scope
from gateway.settings import variable_of
from gateway.web.admin.app import admin_app
from gateway.web.public_routes import public_routes
from tests.conftest import OpenHouse, team
from tests.docs import pages, tables
from tests.docs.pages import CLIENTS, OPERATING, PAGES, POLICIES, ROOT, SECURITY, Page

SOURCES = sorted((ROOT / "gateway").rglob("*.py"))
SAMPLES = sorted((ROOT / "policies").rglob("*.yaml"))


@pytest.mark.parametrize(
    ("page", "make"),
    [
        (OPERATING, tables.settings),
        (OPERATING, tables.credentials),
        (OPERATING, tables.commands),
        (OPERATING, tables.metrics),
        (pages.COMMANDS, tables.columns),
        (CLIENTS, tables.codes),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_table_says_what_the_code_says(page: Page, make: Callable[[], list[str]]) -> None:
    expected = make()
    assert page.table(expected[0]) == expected


def test_the_diagram_shows_the_table_of_transitions() -> None:
    (block,) = OPERATING.blocks("mermaid")
    assert block.text == tables.diagram()


def test_every_state_and_outcome_is_explained() -> None:
    assert OPERATING.first_cells("| State | Means |") == list(State)
    assert OPERATING.first_cells("| Outcome | The money | The slot |") == list(Outcome)


def test_every_variable_that_is_named_exists() -> None:
    known = {variable_of(name) for name in SETTINGS}
    for page in PAGES:
        assert set(re.findall(r"\bGATEWAY_[A-Z_]+", page.text)) <= known, page.name


def test_every_metric_that_is_named_exists() -> None:
    known = {row.split("`")[1] for row in tables.metrics()[2:]}
    for page in PAGES:
        assert set(re.findall(r"\bgateway_[a-z_]+", page.text)) <= known, page.name


def command_lines() -> Iterator[tuple[str, str]]:
    """What follows `gmi-gateway` wherever the pages and the samples name it, with where that is."""
    for page in PAGES:
        scripts = (line for block in page.blocks("sh", "console", "ini") for line in lines(block.text))
        for line in (*page.codes(), *scripts):
            for found in re.findall(r"(?:^|[ /])gmi-gateway (?!COMMAND)(.*)", line):
                yield page.name, found
    for path in SAMPLES:
        for found in re.findall(r"`gmi-gateway ([^`]+)`", path.read_text()):
            yield path.name, found


def lines(script: str) -> list[str]:
    """The lines of a script, without comments."""
    return [line.split("  #")[0] for line in script.replace("\\\n", " ").splitlines()]


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """The words and options a command knows, those of its sub-commands as well."""
    known: set[str] = set()
    for action in parser._actions:
        known |= {*action.option_strings, *(str(choice) for choice in action.choices or ())}
        if isinstance(action, argparse._SubParsersAction):
            known |= {option for parser in action.choices.values() for option in options_of(parser)}
    return known


def test_every_command_that_is_named_exists() -> None:
    for place, line in command_lines():
        name, *words = line.split()
        assert name in COMMANDS, f"{place}: {line}"
        parser = argparse.ArgumentParser()
        importlib.import_module(f"gateway.cli.{name}").add_options(parser)
        known = options_of(parser)
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        assert options <= known, f"{place}: {line}"
        if name in ("keys", "ledger", "webhooks") and words:
            assert words[0] in known, f"{place}: {line}"


def test_every_command_has_its_section_with_an_example() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", pages.COMMANDS.text, re.MULTILINE | re.DOTALL))
    assert set(sections) - {"Exit"} == set(COMMANDS)
    assert [name for name in COMMANDS if f"gmi-gateway {name}" not in sections[name]] == []


def policy_fields(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The path of every field in a schema: `limits.models`, `credentials.NAME.api_key`."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", []):
        yield from policy_fields(choice, definitions, prefix)
    if "items" in schema:
        yield from policy_fields(schema["items"], definitions, prefix)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from policy_fields(schema["additionalProperties"], definitions, f"{prefix}NAME.")
    for name, below in schema.get("properties", {}).items():
        yield prefix + name
        if prefix + name != "defaults":  # which repeats fields of a team
            yield from policy_fields(below, definitions, f"{prefix}{name}.")


def test_every_field_of_the_policies_is_explained_once() -> None:
    schema = policy_schema()
    documented = POLICIES.first_cells("| Field | Meaning |")
    assert sorted(documented) == sorted(policy_fields(schema, schema["$defs"]))


def test_every_scope_is_explained_and_every_field_that_may_be_a_default_is_named() -> None:
    assert set(POLICIES.first_cells("| Scope | Covers |")) == set(Scope)
    section = POLICIES.text.partition("\n## Defaults\n")[2].partition("\n## ")[0]
    listed = section.partition("They may hold ")[2].partition(".")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(DEFAULT_FIELDS)


def source_of(paths: Iterable[Path]) -> str:
    """The text of these modules."""
    return "\n".join(path.read_text() for path in paths)


def test_every_warning_is_explained() -> None:
    given = set(re.findall(r'\.warn\(\s*[^"]+?"([a-z-]+)"', source_of(SOURCES)))
    assert POLICIES.first_cells("| Warning | Means |") == sorted(given)


def events(path: Path) -> Iterator[str]:
    """The events a module logs, where they stand in the call itself. What is filled in is left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        arguments = node.args[1:] if called == "log_event" else node.args if called.startswith("logger.") else []
        for argument in arguments[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield re.sub(r"%[sd]|: %s", "", argument.value.partition("(")[0]).strip(" :")


def test_every_event_of_the_log_is_explained() -> None:
    documented = OPERATING.first_cells("| Event | Level | Means |")
    logged = {event for path in SOURCES for event in events(path)}
    assert sorted(logged - set(documented)) == []
    assert [event for event in documented if event not in source_of(SOURCES)] == []


async def test_every_field_of_the_access_line_is_explained(
    open_house: OpenHouse, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [1 jobs per day]")}, access_log="on")
    for key in ("one", "one", "two"):
        await house.client("key").create(headers={"Idempotency-Key": key})
    house.gw.access_log.flush()
    placed, repeated, refused = map(json.loads, capsysbinary.readouterr().out.splitlines())
    found = placed | repeated | refused
    assert OPERATING.first_cells("| Field | Meaning |") == list(found)


async def test_every_page_of_the_admin_listener_is_listed(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    routes = [route for route in admin_app(house.gw).routes if isinstance(route, Route)]
    pages = {f"{method} {route.path}" for route in routes for method in (route.methods or set()) - {"HEAD"}}
    assert set(OPERATING.first_cells("| Path | Answers |")) == pages


def test_every_call_of_the_public_listener_is_listed() -> None:
    calls = {f"{method} {route.label}" for route in public_routes().routes for method in set(route.methods) - {"HEAD"}}
    assert set(CLIENTS.first_cells("| Call | Does |")) == calls


def test_the_tests_that_are_said_to_hold_a_promise_exist() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py")).lower()
    for family, number in re.findall(r"`([A-Z]{2})(\d+)`", SECURITY.text):
        assert re.search(rf"\b(test_)?{family.lower()}{number}(_|\b)", tests), f"{family}{number}"
