"""The latest refusals, one worker's or all of them."""

from dataclasses import replace

from gateway.telemetry import OTHER, Denial, Denials


def denial(number: int, team: str = "marketing", code: str = "rate_limited") -> Denial:
    return Denial(float(number), team, "web", "Veo3", code, "Slow down.", f"id-{number}")


def ids(denials: list[Denial]) -> list[str]:
    return [each.request_id for each in denials]


def test_denials_come_newest_first_and_the_oldest_go() -> None:
    denials = Denials(most=3)
    for number in range(5):
        denials.add(denial(number))
    assert ids(denials.latest(10)) == ["id-4", "id-3", "id-2"]
    assert ids(denials.latest(2)) == ["id-4", "id-3"]


def test_denials_are_found_by_team_and_code() -> None:
    denials = Denials()
    denials.add(denial(1))
    denials.add(denial(2, team="studio"))
    denials.add(denial(3, code="budget_exceeded"))
    assert ids(denials.latest(10, team="marketing")) == ["id-3", "id-1"]
    assert ids(denials.latest(10, code="rate_limited")) == ["id-2", "id-1"]
    assert ids(denials.latest(10, team="marketing", code="rate_limited")) == ["id-1"]
    assert denials.latest(10, team="research") == []


def test_ca3_a_flood_of_unknown_keys_leaves_the_teams_denials() -> None:
    denials = Denials(most=10, most_unknown=5)
    denials.add(denial(1))
    for number in range(2, 1000):
        denials.add(denial(number, team=OTHER, code="key_invalid"))
    denials.add(denial(1000))
    assert ids(denials.latest(100)) == ["id-1000", "id-999", "id-998", "id-997", "id-996", "id-995", "id-1"]


def test_a_denial_keeps_no_more_of_what_a_client_sent_than_can_be_shown() -> None:
    denials = Denials()
    denials.add(Denial(1.0, "marketing", "web", "m" * 10**6, "model_not_allowed", "x" * 10**6, "id"))
    [kept] = denials.latest(1)
    assert (len(kept.model), len(kept.message)) == (500, 500)


def test_denials_of_all_workers_are_told_newest_first() -> None:
    own, other = Denials(), Denials()
    for time_, denials in ((1, own), (2, other), (3, own), (4, other)):
        denials.add(Denial(time_, "films", "web", "Veo3", "rate_limited", "No.", str(time_)))
    assert [denial.request_id for denial in own.latest(3, others=[other.dump()])] == ["4", "3", "2"]
    assert [denial.request_id for denial in own.latest(9, team="music", others=[other.dump()])] == []


def test_the_steps_of_a_decision_are_kept_and_cut() -> None:
    denials = Denials()
    steps = tuple((f"rule-{number}", "pass", "x" * 600) for number in range(60))
    denials.add(replace(denial(1), steps=steps))
    (kept,) = Denials().latest(1, others=[denials.dump()])
    assert len(kept.steps) == 50
    assert kept.steps[0] == ("rule-0", "pass", "x" * 500)
