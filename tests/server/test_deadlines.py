"""Pace and patience, on a clock of plain numbers."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.server.deadlines import BodyPace, WriteWatch


def test_bo7_silence_uses_up_the_credit() -> None:
    pace = BodyPace(30, 1024)
    assert pace.deadline(130, 129, waits_for_us=False) == 130


def test_bo7_bytes_earn_time_but_never_more_than_the_credit() -> None:
    pace = BodyPace(30, 1024)
    pace.received = 2048
    assert pace.deadline(130, 110, waits_for_us=False) == 132
    assert pace.deadline(132, 111, waits_for_us=False) == 132  # counted once
    pace.received += 10_000_000
    assert pace.deadline(132, 112, waits_for_us=False) == 142


def test_the_clock_stands_while_the_client_waits_for_us() -> None:
    assert BodyPace(30, 1024).deadline(130, 500, waits_for_us=True) == 530


@given(st.lists(st.integers(0, 900), min_size=31, max_size=60))
def test_bo7_whoever_sends_less_than_the_rate_is_out_of_time_in_the_end(sent: list[int]) -> None:
    pace = BodyPace(30, 1000)
    deadline, now = 30.0, 0.0
    for size in sent * 10:
        now += 1
        pace.received += size
        deadline = pace.deadline(deadline, now, waits_for_us=False)
    assert deadline <= now


@given(st.lists(st.integers(1000, 100_000), min_size=1, max_size=60))
def test_bo7_whoever_keeps_to_the_rate_is_never_out_of_time(sent: list[int]) -> None:
    pace = BodyPace(30, 1000)
    deadline, now = 30.0, 0.0
    for size in sent:
        now += 1
        pace.received += size
        deadline = pace.deadline(deadline, now, waits_for_us=False)
        assert deadline > now


def test_rs4_only_a_client_that_takes_nothing_is_stalled() -> None:
    watch = WriteWatch(60)
    assert not watch.stalled(1000, 0)
    assert not watch.stalled(1000, 59)
    assert not watch.stalled(999, 61)
    assert not watch.stalled(999, 120)
    assert watch.stalled(999, 121)


def test_a_new_stall_begins_with_full_patience() -> None:
    watch = WriteWatch(60)
    watch.stalled(1000, 0)
    watch.restart()
    assert not watch.stalled(1000, 100)
