from collections.abc import Sequence

import pytest

from gateway.core.policy import Key, Team
from gateway.core.rotation import next_name, successor_of

NOW = 1_000_000.0


def team_of(*keys: tuple[str, float | None]) -> Team:
    return Team("films", keys=tuple(Key(name, name, expires) for name, expires in keys))


@pytest.mark.parametrize(
    ("taken", "rotated", "name"),
    [
        (["web"], "web", "web-2"),
        (["web", "web-2"], "web-2", "web-3"),
        (["web", "web-3"], "web-3", "web-2"),
        (["batch-7"], "batch-7", "batch-2"),
    ],
)
def test_a_successor_gets_the_first_name_that_is_free(taken: Sequence[str], rotated: str, name: str) -> None:
    assert next_name(team_of(*((each, None) for each in taken)), rotated) == name


@pytest.mark.parametrize(
    ("keys", "successor"),
    [
        ([("web", NOW + 9), ("web-2", None)], "web-2"),
        ([("web", NOW - 9), ("web-2", None), ("web-10", None)], "web-10"),
        ([("web", NOW + 9), ("web-2", NOW - 1)], None),  # which has ended itself
        ([("web", None), ("web-2", None)], None),  # a key without an end was not rotated
        ([("web", NOW + 9), ("website", None), ("batch-2", None)], None),
        ([("web", NOW + 9)], None),
    ],
)
def test_the_successor_is_the_latest_that_lives(
    keys: Sequence[tuple[str, float | None]], successor: str | None
) -> None:
    team = team_of(*keys)
    found = successor_of(team, team.keys[0], NOW)
    assert (found.name if found is not None else None) == successor
