import pytest

from gateway.core.policy import Period, Unit
from gateway.core.wording import amount_words, instant_words, limit_words, rfc3339
from tests.core.worlds import at, limit


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        (3_000_000, Unit.USD, "3.00 USD"),
        (1, Unit.USD, "0.000001 USD"),
        (1, Unit.JOBS, "1 job"),
        (0, Unit.JOBS, "0 jobs"),
        (8, Unit.SECONDS, "8 seconds"),
        (1, Unit.REQUESTS, "1 request"),
    ],
)
def test_amounts(amount: int, unit: Unit, words: str) -> None:
    assert amount_words(amount, unit) == words


def test_limits_with_the_amount_in_force() -> None:
    assert limit_words(limit(200), 300) == "300 jobs per day"
    assert limit_words(limit(5, period=Period.AT_ONCE), 5) == "5 jobs at once"


def test_instants_on_the_teams_own_clock() -> None:
    midnight = at("2026-12-01T00:00", "Europe/Berlin")
    assert instant_words(midnight, "Europe/Berlin") == "2026-12-01 00:00 Europe/Berlin"
    assert instant_words(midnight + 1, "UTC") == "2026-11-30 23:00:01 UTC"


def test_instants_for_programs() -> None:
    assert rfc3339(at("2026-12-01T00:00:00.9", "Europe/Berlin")) == "2026-11-30T23:00:00Z"
