"""A caller's ids are kept where they are sound, and replaced where they are not: HD9."""

import pytest

from gateway.web.tracing import Randomness, callers_context, request_id_of, told_by, trace_context

FRESH = "f" * 48
SOUND = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BEGUN = ((b"traceparent", b"00-%s-%s-00" % (b"f" * 32, b"f" * 16)),)


@pytest.mark.parametrize("value", [b"a", b"order-1_A.b", b"x" * 128])
def test_hd9_a_plain_id_is_kept(value: bytes) -> None:
    assert request_id_of([value], "fresh") == value.decode()


@pytest.mark.parametrize("values", [[], [b""], [b"x" * 129], [b"a b"], [b"a\n"], ["ä".encode()], [b"a", b"a"]])
def test_hd9_any_other_is_replaced(values: list[bytes]) -> None:
    assert request_id_of(values, "fresh") == "fresh"


def test_a_caller_without_a_trace_gets_none() -> None:
    assert trace_context([(b"tracestate", b"vendor=1")], FRESH) == ()


@pytest.mark.parametrize(
    "parents",
    [
        [SOUND.upper()],
        [SOUND, SOUND],
        [b"00-" + b"0" * 32 + SOUND[35:]],
        [SOUND[:36] + b"0" * 16 + b"-01"],
        [SOUND[:-1]],
        [SOUND + b"-extra"],
        [b"ff" + SOUND[2:]],
        [b""],
    ],
)
def test_hd9_a_broken_trace_is_begun_anew(parents: list[bytes]) -> None:
    headers = [(b"traceparent", value) for value in parents]
    assert trace_context([*headers, (b"tracestate", b"vendor=1")], FRESH) == BEGUN


@pytest.mark.parametrize(
    ("states", "passed_on"),
    [
        ([], []),
        ([b"vendor=1"], [b"vendor=1"]),
        ([b"a=1", b"b=2"], [b"a=1,b=2"]),
        ([b"x" * 513], []),
        ([b"a=\xff"], []),
        ([b"a=\t"], []),
        ([b""], []),
    ],
)
def test_hd9_a_sound_trace_goes_on_with_its_state(states: list[bytes], passed_on: list[bytes]) -> None:
    headers = [(b"traceparent", SOUND), *((b"tracestate", value) for value in states)]
    expected = ((b"traceparent", SOUND), *((b"tracestate", value) for value in passed_on))
    assert trace_context(headers, FRESH) == expected


@pytest.mark.parametrize(
    ("connection", "passed_on"),
    [
        ([b"close"], [b"traceparent", b"tracestate"]),
        ([b"close, tracestate"], [b"traceparent"]),
        ([b"keep-alive", b" ,TraceParent ,x"], []),
    ],
)
def test_hd3_a_trace_that_connection_nominates_stays_here(connection: list[bytes], passed_on: list[bytes]) -> None:
    headers = [(b"traceparent", SOUND), (b"tracestate", b"a=1"), *((b"connection", value) for value in connection)]
    for context in (trace_context(headers, FRESH), callers_context(headers)):
        assert context is not None
        assert [name for name, _ in context] == passed_on


def test_hd3_what_connection_nominates_is_not_told() -> None:
    assert told_by([(b"x-request-id", b"a"), (b"connection", b"X-Request-ID"), (b"x", b"1")])[1:] == [(b"x", b"1")]


def test_no_two_calls_get_the_same_digits() -> None:
    randomness = Randomness()
    taken = [randomness.take() for _ in range(1000)]
    assert len({digits[:32] for digits in taken}) == 1000
    assert {len(digits) for digits in taken} == {48}
    assert set("".join(taken)) == set("0123456789abcdef")
