"""The limits of whole teams: those of the team once, those each key has of its own for every key."""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.context import Gateway
from gateway.core.limits import LimitState, counters_of, limit_states
from gateway.core.policy import Caller, Key, Team


@dataclass(frozen=True, slots=True)
class TeamLimit:
    """Where one limit stands; `key` names the key whose own it is, None for the team's."""

    state: LimitState
    key: str | None


async def limits_of_teams(gw: Gateway, teams: Iterable[Team]) -> dict[str, list[TeamLimit]]:
    """Every limit of these teams, in policy order, by team's name, with one look into the ledger.

    Raises LedgerUnavailable.
    """
    now = gw.now()
    callers = {team.name: _callers(team) for team in teams}
    counters = {counter for group in callers.values() for caller in group for counter in counters_of(caller, now)}
    used = gw.leases.less_held(await gw.ledger.used(sorted(counters)))
    return {
        name: [
            TeamLimit(state, caller.key.name if state.limit.per_key else None)
            for position, caller in enumerate(group)
            for state in limit_states(caller, used, now)
            if state.limit.per_key or position == 0
        ]
        for name, group in callers.items()
    }


def _callers(team: Team) -> list[Caller]:
    """One for every key; a team without keys still has limits to show."""
    return [Caller(team, key) for key in team.keys] or [Caller(team, Key("", ""))]
