"""Errors have one shape, and money is shown in dollars."""

import json

import pytest

from gateway.core.errors import FACTS, Code, Quota, RateLimit, Refusal
from gateway.core.policy import Unit
from gateway.web.respond import Reply, amount_of, error_reply, json_reply, render_refusal


@pytest.mark.parametrize("code", Code)
def test_every_code_becomes_contracts_error(code: Code) -> None:
    reply = error_reply(Refusal(code, "What to do."), "request-1")
    assert reply.status == FACTS[code].status
    assert json.loads(reply.body) == {"error": "What to do.", "code": code.value, "request_id": "request-1"}
    headers = dict(reply.headers)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"proxy-status"] == b"gmi-gateway; error=" + FACTS[code].proxy_error.encode()
    assert (b"www-authenticate" in headers) == (reply.status == 401)
    assert b"connection" not in headers
    assert (reply.code, reply.message) == (code.value, "What to do.")


def test_bu2_no_amount_of_money_is_written_with_an_exponent() -> None:
    for micro, text in ((1, b"0.000001"), (10, b"0.00001"), (99, b"0.000099"), (400_000, b"0.4"), (3 * 10**6, b"3")):
        assert json_reply({"usd": amount_of(micro, Unit.USD)}).body == b'{"usd":%s}' % text
    quota = Quota("money", 9, 3, Unit.USD, None)
    body = error_reply(Refusal(Code.BUDGET_EXCEEDED, "Too dear.", quota=quota), "request-1").body
    assert b'"limit":0.000009,"used":0.000003,' in body


def test_a_limits_refusal_tells_how_much_and_when() -> None:
    refusal = Refusal(
        Code.BUDGET_EXCEEDED,
        "Too dear.",
        retry_after=30,
        rate_limit=RateLimit("USD per month", 500, 2_592_000, 30_000),
        quota=Quota("money", 500_000_000, 499_999_999, Unit.USD, 1_796_083_200.0),
        siblings={"price": 3.2},
        headers=((b"allow", b"GET"),),
        close=True,
    )
    reply = error_reply(refusal, "request-1")
    assert json.loads(reply.body) == {
        "error": "Too dear.",
        "code": "budget_exceeded",
        "request_id": "request-1",
        "rate_limit": {
            "limit_type": "USD per month",
            "limit": 500,
            "interval_seconds": 2_592_000,
            "retry_after_ms": 30_000,
        },
        "quota": {
            "name": "money",
            "limit": 500,
            "used": 499.999999,
            "unit": "USD",
            "resets_at": "2026-12-01T00:00:00Z",
        },
        "price": 3.2,
    }
    headers = dict(reply.headers)
    assert (headers[b"retry-after"], headers[b"connection"], headers[b"allow"]) == (b"30", b"close", b"GET")


def test_a_level_never_resets() -> None:
    refusal = Refusal(Code.CONCURRENCY_EXCEEDED, "Wait.", quota=Quota("slots", 3, 3, Unit.JOBS, None))
    assert json.loads(error_reply(refusal, "request-1").body)["quota"] == {
        "name": "slots",
        "limit": 3,
        "used": 3,
        "unit": "jobs",
        "resets_at": None,
    }


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (8, Unit.JOBS, "8"),
        (3_200_000, Unit.USD, "3.2"),
        (1, Unit.USD, "0.000001"),
        (5_000_000, Unit.USD, "5"),
        (0, Unit.USD, "0"),
    ],
)
def test_amounts_are_numbers_in_their_own_unit(value: int, unit: Unit, shown: str) -> None:
    assert json_reply(amount_of(value, unit)).body.decode() == shown


def test_an_answer_can_be_given_more_headers() -> None:
    reply = Reply(200, b"x", ((b"a", b"1"),)).adding((b"b", b"2"))
    assert (reply.status, reply.headers) == (200, ((b"a", b"1"), (b"b", b"2")))


def test_what_never_became_a_call_has_an_id_too() -> None:
    status, headers, body = render_refusal("uri_too_long", "Shorter.")
    assert status == 414
    assert json.loads(body)["request_id"].encode() == dict(headers)[b"x-request-id"]
