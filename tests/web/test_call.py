"""A call knows its headers, and its caller once somebody found out."""

import pytest

from gateway.core.errors import Refusal
from tests.web.conftest import call_with


def test_headers_are_found_by_name_in_their_order() -> None:
    call = call_with((b"accept", b"a"), (b"x-test", b"1"), (b"x-test", b"2"))
    assert call.header(b"x-test") == b"1"
    assert call.headers(b"x-test") == [b"1", b"2"]
    assert call.header(b"missing") is None
    assert call.headers(b"missing") == []


def test_nobody_is_taken_for_a_caller() -> None:
    call = call_with()
    call.who = None
    with pytest.raises(AssertionError):
        _ = call.caller


def test_a_call_knows_what_it_holds() -> None:
    call = call_with()
    call.hold(3)
    call.hold(4)
    assert (call.held, call.room.load.held) == (7, 7)
    call.room.hold("another", 1)
    with pytest.raises(Refusal):
        call.hold(10**10)
    assert (call.held, call.room.load.held) == (7, 8)
