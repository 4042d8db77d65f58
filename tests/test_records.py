"""What is known of jobs: in so many bytes, and in the order of its use."""

import pytest

from gateway.looks import Failed, Seen
from gateway.records import Known, Records
from gateway.upstream.client import Answer


def known(size: int) -> Known:
    """Of a job whose record has so many bytes."""
    return Known(Seen(Answer(200, (), b"x" * size), 0.0, terminal=False, etag=b'"e"'))


@pytest.fixture
def records() -> Records:
    """Room for two records of 3000 bytes."""
    return Records(10_000)


def left(records: Records, *names: str) -> list[str]:
    return [name for name in names if records.peek(name).seen is not None]


def test_what_was_used_longest_ago_goes_first(records: Records) -> None:
    records.keep("one", known(3000))
    records.keep("two", known(3000))
    records.use("one")
    records.keep("three", known(3000))
    assert left(records, "one", "two", "three") == ["one", "three"]


def test_to_peek_is_no_use(records: Records) -> None:
    records.keep("one", known(3000))
    records.keep("two", known(3000))
    assert records.peek("one").seen is not None
    records.keep("three", known(3000))
    assert left(records, "one", "two", "three") == ["two", "three"]


def test_as_many_go_as_have_to_and_no_more(records: Records) -> None:
    for name in ("one", "two", "three", "four"):
        records.keep(name, known(1000))
    records.keep("five", known(5000))
    assert left(records, "one", "two", "three", "four", "five") == ["four", "five"]


def test_what_takes_the_place_of_another_leaves_no_room_behind(records: Records) -> None:
    for _ in range(100):
        records.keep("one", known(5000))
        records.keep("two", known(1000))
        records.drop("two")
        records.drop("two")
    records.keep("three", known(2500))
    assert left(records, "one", "two", "three") == ["one", "three"]


def test_what_cannot_be_kept_takes_the_old_with_it_and_nothing_else(records: Records) -> None:
    records.keep("one", known(100))
    records.keep("two", known(100))
    too_large = known(10_000)
    assert not records.can_keep(too_large)
    records.keep("one", too_large)
    assert left(records, "one", "two") == ["two"]


def test_of_an_unknown_job_nothing_is_known(records: Records) -> None:
    assert records.use("none") == records.peek("none") == Known()


def test_an_error_counts_beside_the_record() -> None:
    one = known(100)
    assert Known(one.seen, one.seen).size - one.size == 100
    assert Known(one.seen, Failed(1.0)).size == one.size
