import pytest

from gateway.core.errors import FACTS, Code, Refusal

STATUSES = {
    400: {"invalid_request", "payload_rejected"},
    401: {"key_missing", "key_invalid", "key_expired"},
    402: {"budget_exceeded"},
    403: {"model_not_allowed", "scope_denied", "file_type_not_allowed", "price_unknown"},
    404: {"unknown_route", "request_not_found", "model_not_found"},
    405: {"method_not_allowed"},
    408: {"request_timeout"},
    409: {"idempotency_in_progress"},
    413: {"body_too_large"},
    414: {"uri_too_long"},
    415: {"unsupported_media_type"},
    422: {"idempotency_mismatch"},
    429: {"rate_limited", "quota_exceeded", "concurrency_exceeded"},
    431: {"headers_too_large"},
    500: {"internal_error"},
    502: {"upstream_unreachable", "upstream_invalid", "upstream_credentials_rejected"},
    503: {"ledger_unavailable", "overloaded", "draining", "upstream_circuit_open"},
    504: {"upstream_timeout", "outcome_unknown"},
}

PROXY_ERRORS = {
    *("http_request_denied", "http_request_error", "proxy_internal_error", "proxy_internal_response"),
    *("destination_unavailable", "http_protocol_error", "connection_limit_reached", "http_response_timeout"),
}
"""Those of RFC 9209 §2.3 that the gateway uses."""


def test_every_code_has_its_one_status() -> None:
    found: dict[int, set[str]] = {}
    for code in Code:
        found.setdefault(FACTS[code].status, set()).add(code.value)
    assert found == STATUSES


@pytest.mark.parametrize("code", Code)
def test_every_code_says_what_it_means(code: Code) -> None:
    facts = FACTS[code]
    assert facts.proxy_error in PROXY_ERRORS
    assert facts.meaning[0].isupper()
    assert facts.meaning.endswith(".")


@pytest.mark.parametrize("code", Code)
def test_a_refusal_has_its_codes_status_and_says_its_message(code: Code) -> None:
    refusal = Refusal(code, "Try again.")
    assert refusal.status == FACTS[code].status
    assert str(refusal) == "Try again."
    assert (refusal.retry_after, refusal.rate_limit, refusal.quota, refusal.close) == (None, None, None, False)


def test_a_repeat_of_an_unknown_create_is_a_conflict() -> None:
    assert Refusal(Code.OUTCOME_UNKNOWN, "Wait.", status=409).status == 409


def test_each_refusal_is_its_own() -> None:
    assert Refusal(Code.DRAINING, "a") != Refusal(Code.DRAINING, "a")
    assert Refusal(Code.DRAINING, "a").siblings == {}
