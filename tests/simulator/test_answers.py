import asyncio

import pytest

from gateway.simulator import Kind, Simulator
from gateway.simulator.answers import JsonAnswer, failure
from gateway.simulator.faults import parse_fault


def test_json_is_compact_and_keeps_order_and_letters() -> None:
    assert JsonAnswer({"b": "ä", "a": [1, None]}).body == '{"b":"ä","a":[1,null]}'.encode()


def test_json_that_is_not_unicode_is_replaced() -> None:
    assert JsonAnswer({"a": "\ud800"}).body == b'{"a":"?"}'


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (Kind.UNAUTHORIZED, 401),
        (Kind.NO_CREDIT, 402),
        (Kind.FORBIDDEN, 403),
        (Kind.RATE_LIMITED, 429),
        (Kind.BACKEND_ERROR, 500),
        (Kind.HTML, 502),
        (Kind.NO_CAPACITY, 503),
        (Kind.EDGE_TIMEOUT, 504),
    ],
)
def test_a_failure_has_its_status(kind: Kind, status: int) -> None:
    assert failure(kind).status_code == status


async def test_a_reset_is_a_reset_and_not_an_orderly_end(simulator: Simulator) -> None:
    simulator.simulation.faults.replace([parse_fault("list_models:reset-before")])
    host, _, port = simulator.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /api/v1/ie/requestqueue/apikey/models HTTP/1.1\r\nHost: a\r\n"
        b"Authorization: Bearer simulated-gmi-key\r\n\r\n"
    )
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
