import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.breaker import FAILURES_TO_OPEN, LONGEST_COOL_DOWN, PROBE_PATIENCE, SAME_NEWS, Breaker, Circuit


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN):
        breaker.fail(now, now)
    return breaker


def shown(breaker: Breaker) -> str:
    """Its state, as the metric shows it."""
    return breaker.state.value


def test_up15_nine_failures_are_borne_the_tenth_opens() -> None:
    breaker = Breaker()
    for _ in range(9):
        breaker.fail(0, 0)
        assert breaker.admit(0)
    breaker.fail(0, 0)
    assert breaker.state is Circuit.OPEN
    assert not breaker.admit(0.99)


def test_up15_failures_count_only_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(50):
        breaker.fail(0, 0)
        breaker.succeed()
    assert breaker.state is Circuit.CLOSED


def test_up15_one_probe_goes_and_its_success_closes() -> None:
    breaker = opened()
    assert [breaker.admit(1.0) for _ in range(3)] == [True, False, False]
    assert shown(breaker) == "half_open"
    breaker.succeed()
    assert shown(breaker) == "closed"
    assert [breaker.admit(1.0) for _ in range(3)] == [True, True, True]


def test_up15_to_ask_whether_it_rests_takes_no_probes_place() -> None:
    breaker = opened()
    assert [breaker.is_resting(0.5), breaker.is_resting(1.0), breaker.is_resting(1.0)] == [True, False, False]
    assert breaker.admit(1.0)
    assert breaker.is_resting(1.0)
    breaker.succeed()
    assert not breaker.is_resting(1.0)


def test_up15_a_failed_probe_opens_for_twice_as_long_up_to_half_a_minute() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(8):
        start = now
        while not breaker.admit(now):
            now += 0.5
        waits.append(now - start)
        breaker.fail(now, now)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_success_makes_the_next_cool_down_short_again() -> None:
    breaker = opened()
    assert breaker.admit(1)
    breaker.fail(1, 1)
    assert breaker.admit(3)
    breaker.succeed()
    for _ in range(FAILURES_TO_OPEN):
        breaker.fail(10, 10)
    assert breaker.admit(11)


@pytest.mark.parametrize("late", ["success", "failure"])
def test_news_of_calls_from_before_it_opened_changes_nothing(late: str) -> None:
    breaker = opened()
    if late == "success":
        breaker.succeed()
    else:
        breaker.fail(0, 0.9)
    assert breaker.state is Circuit.OPEN
    assert breaker.admit(1.0)


def test_qu2_calls_that_fail_together_are_one_failure() -> None:
    breaker = Breaker()
    for _ in range(100):
        breaker.fail(0, 1)
    assert breaker.state is Circuit.CLOSED
    assert "1 failures" in repr(breaker)


@pytest.mark.parametrize("every", [0.01, 0.25, 2.0])
def test_up15_an_upstream_that_never_answers_opens_it_although_calls_overlap(every: float) -> None:
    breaker, began, patience = Breaker(), 0.0, 30.0
    while breaker.state is Circuit.CLOSED:
        breaker.fail(began, began + patience)
        began += every
    assert began <= 10 * max(every, SAME_NEWS + every)


def test_calls_broken_off_by_one_hiccup_do_not_open_it_although_not_at_one_instant() -> None:
    breaker = Breaker()
    for number in range(100):
        breaker.fail(0, 10 + number / 20)
    assert breaker.state is Circuit.CLOSED


def test_calls_from_before_it_opened_are_no_news_after_it_has_closed() -> None:
    breaker = opened(now=100)
    assert breaker.admit(101)
    breaker.succeed()
    for second in range(102, 130):
        breaker.fail(second - 30, second)
    assert breaker.state is Circuit.CLOSED


def test_a_straggler_does_not_decide_for_the_probe() -> None:
    breaker = opened(now=5)
    assert breaker.admit(6)
    breaker.fail(4, 6.5)
    assert shown(breaker) == "half_open"
    breaker.fail(6, 7)
    assert shown(breaker) == "open"


def test_a_probe_that_never_reports_makes_room_for_another() -> None:
    breaker = opened()
    assert breaker.admit(1)
    assert not breaker.admit(PROBE_PATIENCE)
    assert breaker.admit(1 + PROBE_PATIENCE)
    assert not breaker.admit(1 + PROBE_PATIENCE)


@pytest.mark.parametrize(("now", "seconds"), [(0.0, 2), (0.5, 1), (5.0, 1)])
def test_a_refused_caller_is_told_when_to_come_back(now: float, seconds: int) -> None:
    assert opened().wait(now) == seconds


def test_a_caller_refused_while_the_probe_runs_waits_half_a_minute_at_most() -> None:
    breaker = opened()
    assert breaker.admit(1)
    assert breaker.wait(2) == LONGEST_COOL_DOWN


def test_it_shows_where_it_stands() -> None:
    assert repr(opened()) == "<Breaker open, 10 failures, until 1>"


@given(st.lists(st.sampled_from(["admit", "succeed", "fail"]), max_size=60))
def test_calls_pass_freely_exactly_while_it_is_closed(events: list[str]) -> None:
    breaker = Breaker()
    for tick, event in enumerate(events):
        before = breaker.state
        if event == "succeed":
            breaker.succeed()
        elif event == "fail":
            breaker.fail(tick, tick)
        elif breaker.admit(tick):
            assert before is Circuit.CLOSED or breaker.state is Circuit.HALF_OPEN
        else:
            assert before is not Circuit.CLOSED


def test_a_circuit_that_one_teams_calls_alone_have_opened_binds_that_team_alone() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    assert breaker.state is Circuit.OPEN
    assert [breaker.binds("a"), breaker.binds("b"), breaker.binds("")] == [True, False, False]
    breaker.succeed("b")
    assert breaker.binds("a"), "what works for another team does not show that this one's calls do"
    assert breaker.admit(20)
    breaker.succeed("b")
    assert shown(breaker) == "half_open"
    breaker.succeed("a")
    assert (shown(breaker), breaker.binds("a")) == ("closed", False)


def test_one_that_several_teams_calls_have_opened_binds_everybody() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "ab"[now % 2])
    assert [breaker.binds(team) for team in ("a", "b", "c", "")] == [True] * 4
    assert breaker.admit(20)
    breaker.succeed("c")
    assert shown(breaker) == "closed"


def test_an_upstream_that_fails_for_the_others_as_well_is_spared_by_everybody() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    for now in range(100, 100 + FAILURES_TO_OPEN - 1):
        breaker.fail(now, now, "b")
    assert not breaker.binds("b")
    breaker.succeed("b")
    for now in range(200, 200 + FAILURES_TO_OPEN - 1):
        breaker.fail(now, now, "bc"[now % 2])
    assert not breaker.binds("c"), "only failures in a row count"
    breaker.fail(300, 300, "c")
    assert [breaker.binds(team) for team in ("a", "b", "c", "d")] == [True] * 4


def test_whose_failures_they_were_is_forgotten_with_a_success() -> None:
    breaker = Breaker()
    breaker.fail(0, 0, "b")
    breaker.succeed("c")
    for now in range(1, 1 + FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    assert [breaker.binds("a"), breaker.binds("b")] == [True, False]


def test_a_probe_that_fails_is_heard_beside_the_failures_of_others() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    assert breaker.admit(20)
    breaker.fail(20.1, 20.5, "b")
    breaker.fail(20, 20.6, "a")
    assert shown(breaker) == "open"


def test_others_calls_that_fail_together_are_one_failure() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    for _ in range(100):
        breaker.fail(10, 11, "b")
    assert not breaker.binds("b")


def test_what_fails_together_is_all_their_teams_trouble() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now + 30, "a")
        breaker.fail(now, now + 30, "b")
    assert [breaker.binds("a"), breaker.binds("b"), breaker.binds("c")] == [True] * 3


def test_a_circuit_whose_team_asks_for_nothing_any_more_is_closed_by_what_works_for_others() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    breaker.succeed("b", 10 + LONGEST_COOL_DOWN - 0.1)
    assert shown(breaker) == "open"
    breaker.succeed("b", 10 + LONGEST_COOL_DOWN)
    assert shown(breaker) == "closed"


def test_once_it_binds_everybody_what_began_before_is_no_news() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    for now in range(100, 100 + FAILURES_TO_OPEN):
        breaker.fail(now - 50, now, "b")
    assert not breaker.admit(109.5)
    assert breaker.admit(110)
    breaker.fail(105, 110.2, "b")
    assert shown(breaker) == "half_open"
    breaker.succeed("c", 110.3)
    assert shown(breaker) == "closed"


def test_failures_of_others_count_on_while_the_probe_of_the_bound_team_fails() -> None:
    breaker = Breaker()
    for now in range(FAILURES_TO_OPEN):
        breaker.fail(now, now, "a")
    for number in range(1, FAILURES_TO_OPEN):
        breaker.fail(100 * number, 100 * number, "b")
        assert breaker.admit(100 * number + 60)
        breaker.fail(100 * number + 60, 100 * number + 60, "a")
    assert not breaker.binds("b")
    breaker.fail(2000, 2000, "b")
    assert breaker.binds("b")


def test_calls_that_are_nobodys_own_do_not_tell_whose_trouble_it_is() -> None:
    breaker = Breaker()
    breaker.fail(0, 0)
    for now in range(1, FAILURES_TO_OPEN):
        breaker.fail(now, now, "a" if now != 5 else "")
    assert [breaker.binds("a"), breaker.binds("b")] == [True, False]
    nobodys = opened()
    assert [nobodys.binds("a"), nobodys.binds("")] == [True, True]
