"""What is remembered of jobs stays bounded, and an owner is not believed for ever."""

import asyncio
import gc
from math import inf

import pytest
from msgspec import structs

from gateway import memory
from gateway.ledger.values import Owner
from gateway.looks import Failed, Seen
from gateway.memory import MISSING_APART, OWNER_TRUSTED_FOR, JobMemory
from gateway.upstream.client import Answer

NOW = 1_800_000_000.0
OWNER = Owner("a", "main", "Veo3", "default", created_at=0.0, price=1, charge_failed=False)


def seen(size: int) -> Seen:
    return Seen(Answer(200, (), b"x" * size), asked_at=0.0, terminal=True, etag=b'"e"')


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> JobMemory:
    """A memory of 10 000 bytes and two owners."""
    monkeypatch.setattr(memory, "_MOST_OWNERS", 2)
    return JobMemory(10_000)


def test_az3_an_owner_is_believed_for_a_minute() -> None:
    jobs = JobMemory()
    jobs.remember_owner("id", OWNER, 100.0)
    assert jobs.owner("id", 100.0 + OWNER_TRUSTED_FOR - 0.1) == OWNER
    assert jobs.owner("id", 100.0 + OWNER_TRUSTED_FOR) is None
    assert jobs.owner("another", 100.0) is None


def test_az3_an_owner_of_whom_the_ledger_tells_again_is_believed_for_a_minute_more() -> None:
    jobs = JobMemory()
    jobs.remember_owner("id", OWNER, 100.0)
    jobs.confirm_owner("id", OWNER.team, 130.0)
    assert jobs.owner("id", 130.0 + OWNER_TRUSTED_FOR - 0.1) == OWNER
    jobs.confirm_owner("id", "another", 140.0)
    assert jobs.owner("id", 130.0 + OWNER_TRUSTED_FOR) is None
    jobs.confirm_owner("id", OWNER.team, 130.0 + OWNER_TRUSTED_FOR)
    assert jobs.owner("id", 130.0 + OWNER_TRUSTED_FOR) is None
    jobs.confirm_owner("unknown", OWNER.team, 100.0)
    assert jobs.owner("unknown", 100.0) is None


def test_the_garbage_collector_does_not_look_through_what_is_remembered() -> None:
    jobs = JobMemory()
    gc.collect()  # or what others left behind would be counted off
    tracked = len(gc.get_objects())
    for number in range(1000):
        jobs.remember_owner(str(number), structs.replace(OWNER, created_at=number), 0.0)
        jobs.remember(str(number), seen(number))
        jobs.remember_error(f"{number} failed", Failed(0.0))
    assert len(gc.get_objects()) - tracked < 100


def test_rs3_owners_are_bounded_and_the_first_in_goes(small: JobMemory) -> None:
    for name in ("one", "two", "three"):
        small.remember_owner(name, OWNER, 0.0)
    assert [small.owner(name, 0.0) is None for name in ("one", "two", "three")] == [True, False, False]


def test_rs3_records_are_bounded_in_bytes(small: JobMemory) -> None:
    small.remember("one", seen(3500))
    small.remember("two", seen(3500))
    assert small.seen("one") is not None
    small.remember("three", seen(3500))
    assert [small.seen(name) is None for name in ("one", "two", "three")] == [False, True, False]


def test_a_record_that_is_asked_for_all_the_time_outlives_a_flood_of_others(small: JobMemory) -> None:
    small.remember("one", structs.replace(seen(100), terminal=False))
    for number in range(100):
        polled = small.of("one").seen
        assert polled is not None
        assert small.see_again("one", polled.answer, float(number))
        small.remember(f"flood-{number}", seen(5000))


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


def test_up11_answers_that_it_is_missing_are_counted_until_the_job_is_known_again() -> None:
    jobs = JobMemory()
    later = NOW + MISSING_APART
    assert [jobs.note_missing("one", NOW), jobs.note_missing("one", later), jobs.note_missing("two", NOW)] == [1, 2, 1]
    jobs.forget_missing("one")
    assert jobs.note_missing("one", later) == 1
    jobs.remember("one", seen(1))
    assert jobs.note_missing("one", later + MISSING_APART) == 1


def test_a_live_record_that_comes_again_is_as_new_and_keeps_its_tag() -> None:
    jobs = JobMemory()
    live = structs.replace(seen(10), terminal=False)
    jobs.remember("one", live)
    jobs.remember_error("one", seen(5))
    jobs.note_missing("one", NOW)
    again = jobs.see_again("one", Answer(200, (), b"x" * 10, elapsed=0.5), 9.0)
    assert again == Seen(Answer(200, (), b"x" * 10, elapsed=0.5), asked_at=9.0, terminal=False, etag=live.etag)
    assert [jobs.seen("one"), jobs.of("one").error] == [again, None]
    assert jobs.note_missing("one", NOW + MISSING_APART) == 1


def test_what_is_no_live_record_come_again_is_to_be_read() -> None:
    jobs = JobMemory()
    assert jobs.see_again("one", seen(10).answer, 9.0) is None
    jobs.remember("one", seen(10))
    assert jobs.see_again("one", seen(10).answer, 9.0) is None, "an end is settled, whoever sees it"
    jobs.remember("two", structs.replace(seen(10), terminal=False))
    assert jobs.see_again("two", seen(11).answer, 9.0) is None


def test_up11_answers_at_one_time_that_it_is_missing_are_one() -> None:
    jobs = JobMemory()
    assert [jobs.note_missing("one", NOW + seconds) for seconds in (0, 1, 9.9, 10, 15, 20)] == [1, 1, 1, 2, 2, 3]


def test_an_error_is_known_until_there_is_a_record_again_and_does_not_replace_the_last_one() -> None:
    jobs = JobMemory()
    jobs.remember("one", seen(100))
    jobs.remember_error("one", seen(50))
    assert [jobs.seen("one"), jobs.of("one").error, jobs.of("two").error] == [seen(100), seen(50), None]
    jobs.remember("one", seen(70))
    assert jobs.of("one").error is None
    jobs.remember_error("one", seen(60))
    jobs.forget("one")
    assert [jobs.seen("one"), jobs.of("one").error] == [None, None]


def test_a_search_is_remembered_from_the_first_to_the_last_while_it_is_of_use() -> None:
    jobs = JobMemory()
    assert jobs.searched("lost") is None
    assert [jobs.note_search("lost", 5.0), jobs.note_search("lost", 9.0)] == [5.0, 5.0]
    jobs.note_search("found", 6.0)
    jobs.keep_searches({"lost"})
    assert (jobs.searched("lost"), jobs.searched("found")) == ((5.0, 9.0), None)


def test_az3_a_job_is_expected_for_its_team_alone_until_the_ledger_has_said() -> None:
    jobs = JobMemory()
    jobs.expect("one", "a")
    assert [jobs.is_expected("one", "a"), jobs.is_expected("one", "b")] == [True, False]
    jobs.stop_expecting("one", "a")
    assert not jobs.is_expected("one", "a")


async def test_who_waits_for_a_job_is_told_of_a_record_that_is_another_and_of_errors() -> None:
    jobs = JobMemory()
    audience = jobs.attend("one")
    first, changed, error = seen(1), structs.replace(seen(3), etag=b'"f"'), structs.replace(seen(1), etag=b"")
    for told in (first, changed, error, error):
        news = audience.news
        jobs.tell("two", changed)
        assert not news.done()
        jobs.tell("one", told)
        assert news.result() is told
        if told.etag:
            jobs.tell("one", told)
            assert not audience.news.done()


async def test_who_comes_later_is_told_what_the_others_were_told_before() -> None:
    jobs = JobMemory()
    live = structs.replace(seen(1), terminal=False)
    jobs.attend("one")
    jobs.tell("one", live)
    news = jobs.attend("one").news
    jobs.tell("one", live)
    assert news.result() is live


async def test_nobody_looks_when_nobody_waits_any_more() -> None:
    jobs = JobMemory()
    first, second = jobs.attend("one"), jobs.attend("one")
    assert first is second
    looking = first.looking = asyncio.ensure_future(asyncio.sleep(60))
    jobs.leave("one")
    assert not looking.cancelling()
    jobs.leave("one")
    assert looking.cancelling()
    assert jobs.attend("one") is not first


def test_when_upstream_was_last_asked_counts_errors_too() -> None:
    jobs = JobMemory()
    assert jobs.asked_at("one") == -inf
    jobs.remember("one", structs.replace(seen(1), asked_at=5.0))
    jobs.remember_error("one", structs.replace(seen(1), asked_at=7.0))
    assert jobs.asked_at("one") == 7.0


async def test_what_was_asked_before_the_job_was_changed_is_no_news() -> None:
    jobs = JobMemory()
    before = jobs.looks.begin("one", 4.9)
    jobs.outdate("one", 5.0)
    assert jobs.looks.to_share("one", 5.0) is None
    after = jobs.looks.begin("one", 5.0)
    jobs.looks.end("one", before, seen(10))
    assert jobs.looks.to_share("one", 5.0) is after.news
    jobs.looks.end("one", after, seen(10))
    jobs.remember("one", structs.replace(seen(10), asked_at=4.0))
    assert jobs.seen("one") is None
    known = structs.replace(seen(10), asked_at=5.0, terminal=False)
    jobs.remember("one", known)
    assert jobs.seen("one") is known
    assert jobs.see_again("one", known.answer, 4.0) is known
    assert jobs.see_again("one", known.answer, 6.0) == structs.replace(known, asked_at=6.0)
    await after.news


def test_a_job_that_was_changed_is_not_known_any_more() -> None:
    jobs = JobMemory()
    known = structs.replace(seen(10), terminal=False)
    jobs.remember("one", known)
    jobs.outdate("one", known.asked_at + 1.0)
    assert jobs.seen("one") is None
    assert jobs.see_again("one", known.answer, known.asked_at) is None


async def test_the_end_is_told_to_whoever_came_after_it_was_told_first() -> None:
    jobs = JobMemory()
    early = jobs.attend("one")
    jobs.tell("one", seen(10))
    late = jobs.attend("one")
    news = late.news
    assert late is early
    jobs.tell("one", seen(10))
    assert news.done()


def test_rs3_the_headers_of_a_record_count_as_well(small: JobMemory) -> None:
    headers = ((b"x-note", b"v" * 3500),)
    for name in ("one", "two", "three"):
        small.remember(name, Seen(Answer(200, headers, b"{}"), 0.0, terminal=True, etag=b'"e"'))
    assert [small.seen(name) is None for name in ("one", "two", "three")] == [True, False, False]


def test_that_upstream_told_nonsense_is_known_unless_the_job_was_changed_since() -> None:
    jobs = JobMemory()
    failed = Failed(asked_at=5.0)
    jobs.remember_error("one", failed)
    assert jobs.of("one").error is failed
    assert jobs.asked_at("one") == 5.0
    jobs.outdate("one", 6.0)
    jobs.remember_error("one", failed)
    assert jobs.of("one").error is None


def test_a_change_is_known_however_many_records_come_behind_it(small: JobMemory) -> None:
    small.outdate("one", 10.0)
    for number in range(20):
        small.remember(f"other-{number}", seen(1000))
    small.remember("one", Seen(Answer(200, (), b"{}"), asked_at=9.0, terminal=True, etag=b'"e"'))
    assert small.seen("one") is None


def test_up11_a_missing_job_is_counted_however_many_records_come_behind_it(small: JobMemory) -> None:
    small.note_missing("one", NOW)
    for number in range(20):
        small.remember(f"other-{number}", seen(1000))
    assert small.note_missing("one", NOW + MISSING_APART) == 2


def test_an_error_that_does_not_fit_costs_no_record(small: JobMemory) -> None:
    small.remember("one", seen(4000))
    small.remember_error("one", seen(5000))
    assert small.seen("one") == seen(4000)


def test_a_change_outlives_a_record_larger_than_the_memory(small: JobMemory) -> None:
    small.outdate("one", 10.0)
    small.remember("one", Seen(Answer(200, (), b"x" * 100_000), asked_at=11.0, terminal=False, etag=b'"e"'))
    small.remember("one", Seen(Answer(200, (), b"{}"), asked_at=9.0, terminal=False, etag=b'"e"'))
    assert small.seen("one") is None
