"""Which exception means that a create may have happened."""

import inspect

import httpx
import pytest

from gateway.core.errors import Code
from gateway.upstream.failures import Sent, UpstreamFailure, failure_of

TABLE = {
    httpx.ConnectError: (Sent.NEVER, Code.UPSTREAM_UNREACHABLE),
    httpx.UnsupportedProtocol: (Sent.NEVER, Code.UPSTREAM_UNREACHABLE),
    httpx.ConnectTimeout: (Sent.NEVER, Code.UPSTREAM_TIMEOUT),
    httpx.PoolTimeout: (Sent.NEVER, Code.UPSTREAM_TIMEOUT),
    httpx.ReadTimeout: (Sent.MAYBE, Code.UPSTREAM_TIMEOUT),
    httpx.WriteTimeout: (Sent.MAYBE, Code.UPSTREAM_TIMEOUT),
    httpx.TimeoutException: (Sent.MAYBE, Code.UPSTREAM_TIMEOUT),
    httpx.ReadError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.WriteError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.CloseError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.NetworkError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.ProxyError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.RemoteProtocolError: (Sent.MAYBE, Code.UPSTREAM_INVALID),
    httpx.LocalProtocolError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.ProtocolError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
    httpx.TransportError: (Sent.MAYBE, Code.UPSTREAM_UNREACHABLE),
}


@pytest.mark.parametrize(("kind", "meaning"), TABLE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_ac4_each_class_of_the_transport(kind: type[httpx.TransportError], meaning: tuple[Sent, Code]) -> None:
    failure = failure_of(kind("text with a secret"))
    assert (failure.sent, failure.code) == meaning
    assert "secret" not in str(failure)


def test_ac4_the_table_names_every_class_httpx_has() -> None:
    known = {kind for _, kind in inspect.getmembers(httpx, inspect.isclass) if issubclass(kind, httpx.TransportError)}
    assert known == set(TABLE)


def test_a_failure_becomes_the_gateways_own_error() -> None:
    refusal = UpstreamFailure(Sent.NEVER, Code.UPSTREAM_CIRCUIT_OPEN, "Wait.", retry_after=7).as_refusal()
    assert (refusal.status, refusal.code, refusal.message, refusal.retry_after) == (
        503,
        Code.UPSTREAM_CIRCUIT_OPEN,
        "Wait.",
        7,
    )
    assert UpstreamFailure.invalid("Odd").as_refusal().status == 502
