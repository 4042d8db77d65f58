"""The OpenAPI document: valid, open, made of the route table, and true of the running gateway."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.core.errors import FACTS
from gateway.core.policy import Scope
from gateway.web.document import PATH
from gateway.web.openapi import document, path_of
from gateway.web.public_routes import public_routes
from tests.conftest import OpenHouse, Q, team

ROUTES = public_routes().routes

SCHEMATHESIS = """
[phases.coverage]
unexpected-methods = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]

[checks]
use_after_free.enabled = false

[[operations]]
include-operation-id = ["get /requests", "head /requests", "post /requests"]
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422"]
"""
"""What a schema cannot say: the listener knows TRACE on no path, a job that was deleted is still the team's to read,
what can be a model's id or payload is judged by more than its shape, and an idempotency key is good for one body.
"""


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, name): each for path, item in described["paths"].items() for name, each in item.items()}


def test_it_is_a_valid_document_with_or_without_a_public_url() -> None:
    for url in ("", "https://gateway.example"):
        described = document(ROUTES, url)
        assert described["openapi"] == "3.1.0"
        assert described["servers"] == [{"url": url or "/"}]
        OpenAPIV31SpecValidator(described).validate()


def test_it_has_every_route_and_method_with_its_scope() -> None:
    described = operations(document(ROUTES, ""))
    methods = {(path_of(route), method.lower()): route for route in ROUTES for method in route.methods}
    assert set(described) == set(methods)
    for (path, name), route in methods.items():
        operation, scope = described[path, name], route.methods[name.upper()].scope
        assert ("security" in operation) == (route.is_open or route.admit is not None)
        assert scope is None or f"`{scope}`" in operation["description"]
        assert operation["operationId"] == f"{name} {route.label}"
    assert path_of(next(route for route in ROUTES if route.label == "/requests/{id}")) == f"{Q}/requests/{{id}}"
    assert described[f"{Q}/upload-url", "post"]["description"] == f"Needs the scope `{Scope.UPLOADS}`."


def test_each_refusal_stands_under_its_status_and_a_limit_says_when_to_try_again() -> None:
    create = operations(document(ROUTES, ""))[f"{Q}/requests", "post"]["responses"]
    for code in ("budget_exceeded", "payload_rejected", "quota_exceeded", "upstream_timeout"):
        status = next(facts.status for each, facts in FACTS.items() if each == code)
        assert f"`{code}`" in create[str(status)]["description"]
    assert "`outcome_unknown`" in create["409"]["description"]
    assert "`outcome_unknown`" in create["504"]["description"]
    assert {"Retry-After"} <= set(create["429"]["headers"]) & set(create["503"]["headers"])
    assert "WWW-Authenticate" in create["401"]["headers"]


def test_an_answer_to_head_has_no_body() -> None:
    responses = operations(document(ROUTES, ""))[f"{Q}/models", "head"]["responses"]
    assert not any("content" in response for response in responses.values())


async def test_schemathesis_finds_nothing(open_house: OpenHouse, tmp_path: Path) -> None:
    house = await open_house({"a.yaml": team("a", "canary-key-a")})
    config = tmp_path / "schemathesis.toml"
    config.write_text(SCHEMATHESIS)
    options = ("--max-examples", "10", "--max-time", "20", "--seed", "1", "--no-color", "--request-timeout", "10")
    ran = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run", *options),
        *("-H", "Authorization: Bearer canary-key-a", house.running.public_url + PATH),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    printed = (await ran.communicate())[0].decode()
    assert ran.returncode == 0, printed
    assert re.search(r"Selected: ([23][0-9])/\1\b", printed), printed
