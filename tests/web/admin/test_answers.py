"""How the admin listener answers."""

import json

import pytest
from starlette.requests import Request

from gateway.core.errors import Code, Refusal
from gateway.web.admin.answers import error_response, json_response, read_query, refusal_response


def request(query: str) -> Request:
    return Request({"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query.encode()})


def test_json_is_kept_by_no_cache() -> None:
    response = json_response({"a": 1}, 201)
    assert (response.status_code, response.body) == (201, b'{"a":1}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-length"] == "7"


def test_an_error_of_this_listener_has_contracts_shape() -> None:
    response = error_response(422, "policies_refused", "They are wrong.", "id-1", problems=["a"])
    assert response.status_code == 422
    assert json.loads(bytes(response.body)) == {
        "error": "They are wrong.",
        "code": "policies_refused",
        "request_id": "id-1",
        "problems": ["a"],
    }


def test_a_refusal_looks_as_on_the_public_listener() -> None:
    response = refusal_response(Refusal(Code.LEDGER_UNAVAILABLE, "Gone.", retry_after=2), "id-1")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert response.headers["proxy-status"].startswith("gmi-gateway; error=")
    assert json.loads(bytes(response.body))["code"] == "ledger_unavailable"


def test_a_query_is_read_strictly() -> None:
    assert read_query(request("team=a%20b&limit=5"), "team", "limit") == {"team": "a b", "limit": "5"}
    assert read_query(request(""), "team") == {}
    for wrong in ("team=a&team=b", "team=", "tema=a", "Team=a"):
        with pytest.raises(Refusal) as raised:
            read_query(request(wrong), "team")
        assert raised.value.code is Code.INVALID_REQUEST
