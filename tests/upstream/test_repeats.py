"""Heads of answers that come again: whatever is remembered, an answer is read as it would be without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.repeats import Repeats
from gateway.upstream.reply import Reply, Stage
from tests.upstream.test_reply import CHUNKED, HEAD, HINTS, PLAIN, REFUSED, Source

EMPTY = HEAD + b"Content-Length: 0\r\n\r\n"
ANSWERS = {
    "plain": PLAIN,
    "chunked": CHUNKED,
    "after-hints": HINTS + PLAIN,
    "empty": EMPTY,
    "empty-after-hints": HINTS + EMPTY,
    "until-the-end": HEAD + b"\r\nto the connection's end",
    "empty-line-in-a-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nb\r\n\r\n\r\nContent-\r\n0\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "204-with-a-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n",
    "hop-by-hop": PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n"),
    "coded": PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\nKeep-Alive: timeout=3\r\n\r\n"),
    "old": PLAIN.replace(b"HTTP/1.1 200 OK", b"HTTP/1.0 503 Later"),
    **REFUSED,
}


def told(repeats: Repeats, *parts: bytes, bodiless: bool = False) -> list[object]:
    """All that a reply says of an answer that comes in these parts."""
    source = Source()
    reply = Reply(source, repeats, bodiless=bodiless)
    for part in parts:
        if reply.stage in (Stage.HEAD, Stage.BODY):
            reply.feed(part)
    body, failure = reply.whole_body(), None
    try:
        reply.raise_failure()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
        failure = repr(error)
    head = [reply.status, list(reply.headers), reply.passed_on, reply.is_coded, reply.keep_for]
    return [reply.stage, *head, reply.had_head, reply.piece, body, failure, source.asked]


def knowing(*answers: bytes) -> Repeats:
    """What is remembered after each of these came twice."""
    repeats = Repeats()
    for answer in answers:
        told(repeats, answer)
        told(repeats, answer)
    return repeats


EXPERIENCED = knowing(*ANSWERS.values())
KINDS, PLACES = st.sampled_from(list(ANSWERS.values())), st.integers(0, 300)


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_read_alike_whatever_came_before(answer: bytes) -> None:
    assert told(EXPERIENCED, answer) == told(Repeats(), answer)
    assert told(EXPERIENCED, answer, bodiless=True) == told(Repeats(), answer, bodiless=True)
    for behind in (b"x", b"\r\n", answer):
        assert told(EXPERIENCED, answer + behind) == told(Repeats(), answer + behind)
    for cut in range(1, min(len(answer), 400)):
        parts = answer[:cut], answer[cut:]
        assert told(EXPERIENCED, *parts) == told(Repeats(), *parts)


@given(KINDS, KINDS, PLACES, PLACES, st.binary(max_size=4))
def test_sm10_what_is_put_together_of_two_is_read_alike_too(
    one: bytes, other: bytes, end: int, start: int, middle: bytes
) -> None:
    answer = one[:end] + middle + other[start:]
    if answer:
        assert told(knowing(*ANSWERS.values(), answer), answer) == told(Repeats(), answer)
        assert told(EXPERIENCED, answer) == told(Repeats(), answer)


def test_a_head_that_came_twice_is_read_once_more_for_another_body() -> None:
    repeats = knowing(PLAIN)
    _, head = repeats.find(PLAIN[:-7] + b'{"b":2}')
    assert head is not None
    assert (head.status, head.length) == (200, 7)
    reply = Reply(Source(), repeats)
    reply.feed(PLAIN[:-7] + b'{"b":2}')
    assert reply.headers is head.headers
    assert reply.whole_body() == b'{"b":2}'


def test_a_head_that_came_once_is_not_remembered() -> None:
    repeats = Repeats()
    told(repeats, PLAIN)
    assert repeats.find(PLAIN)[1] is None


@pytest.mark.parametrize("answer", [CHUNKED, HINTS + PLAIN, HEAD + b"\r\n", PLAIN[:-1], PLAIN + b"x"], ids=range(5))
def test_only_what_is_a_head_and_its_body_and_nothing_else_is_remembered(answer: bytes) -> None:
    assert knowing(PLAIN, answer).find(answer)[1] is None


def test_what_came_once_is_forgotten_when_there_is_too_much_of_it() -> None:
    repeats = Repeats()
    starts = [b"X-Id: %d" % number for number in range(10_000)]
    assert not any(map(repeats.came_before, starts))
    assert repeats.came_before(starts[-1])
    assert not repeats.came_before(starts[0])


def test_a_long_head_is_not_remembered() -> None:
    answer = PLAIN.replace(b"\r\n\r\n", b"\r\nX: " + b"1" * 2000 + b"\r\n\r\n")
    assert knowing(answer).find(answer)[1] is None


def test_what_is_remembered_is_bounded_and_what_came_last_is_among_it() -> None:
    repeats = Repeats()
    for number in range(10_000):
        answer = PLAIN.replace(b"\r\n\r\n", b"\r\nX-Id: %d\r\n\r\n" % number)
        told(repeats, answer)
        told(repeats, answer)
        assert repeats.find(answer)[1] is not None
    known = [n for n in range(10_000) if repeats.find(PLAIN.replace(b"\r\n\r\n", b"\r\nX-Id: %d\r\n\r\n" % n))[1]]
    assert 1 <= len(known) <= 256
    assert known[-1] == 9_999
