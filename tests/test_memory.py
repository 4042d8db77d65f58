"""What is remembered of jobs stays bounded, and an owner is not believed for ever."""

import pytest

from gateway import memory
from gateway.ledger.values import Owner
from gateway.memory import OWNER_TRUSTED_FOR, JobMemory, Seen
from gateway.upstream.client import Answer

OWNER = Owner("a", "main", "Veo3", "default", created_at=0.0, price=1, charge_failed=False)


def seen(size: int) -> Seen:
    return Seen(Answer(200, (), b"x" * size), asked_at=0.0, terminal=True, etag=b'"e"')


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> JobMemory:
    """A memory of 10 000 bytes and two owners."""
    monkeypatch.setattr(memory, "_MOST_RECORD_BYTES", 10_000)
    monkeypatch.setattr(memory, "_MOST_OWNERS", 2)
    return JobMemory()


def test_az3_an_owner_is_believed_for_a_minute() -> None:
    jobs = JobMemory()
    jobs.remember_owner("id", OWNER, 100.0)
    assert jobs.owner("id", 100.0 + OWNER_TRUSTED_FOR - 0.1) == OWNER
    assert jobs.owner("id", 100.0 + OWNER_TRUSTED_FOR) is None
    assert jobs.owner("another", 100.0) is None


def test_rs3_owners_are_bounded_and_the_least_used_goes(small: JobMemory) -> None:
    for name in ("one", "two", "three"):
        small.remember_owner(name, OWNER, 0.0)
    assert [small.owner(name, 0.0) is None for name in ("one", "two", "three")] == [True, False, False]


def test_rs3_records_are_bounded_in_bytes(small: JobMemory) -> None:
    small.remember("one", seen(3500))
    small.remember("two", seen(3500))
    assert small.seen("one") is not None
    small.remember("three", seen(3500))
    assert [small.seen(name) is None for name in ("one", "two", "three")] == [False, True, False]


def test_a_record_larger_than_the_memory_is_not_kept_nor_what_it_replaces(small: JobMemory) -> None:
    small.remember("one", seen(100))
    small.remember("one", seen(10_000))
    assert small.seen("one") is None


def test_a_forgotten_record_is_gone_and_forgetting_twice_is_no_mistake() -> None:
    jobs = JobMemory()
    jobs.remember("one", seen(100))
    jobs.forget("one")
    jobs.forget("one")
    assert jobs.seen("one") is None
