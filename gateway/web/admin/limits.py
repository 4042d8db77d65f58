"""The limits of whole teams: those of the team once, those each key has of its own for every key."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.context import Gateway
from gateway.core.limits import LimitState, counters_of, limit_states
from gateway.core.policy import Caller, Key, Team

_STEPS = 32


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
    counters: set[str] = set()
    for group in callers.values():
        counters.update(counter for caller in group for counter in counters_of(caller, now))
        await _let_others(len(counters))
    used = gw.leases.less_held(await gw.ledger.used(sorted(counters)))
    limits: dict[str, list[TeamLimit]] = {}
    for name, group in callers.items():
        limits[name] = _limits_of(group, used, now)
        await _let_others(len(limits))
    return limits


async def _let_others(done: int) -> None:
    """Let calls through after every few steps: those of a thousand teams take a tenth of a second together."""
    if done % _STEPS == 0:
        await asyncio.sleep(0)


def _limits_of(group: Sequence[Caller], used: Mapping[str, int], now: float) -> list[TeamLimit]:
    return [
        TeamLimit(state, caller.key.name if state.limit.per_key else None)
        for caller in group
        for state in limit_states(caller, used, now)
    ]


def _callers(team: Team) -> list[Caller]:
    """The first key with all limits, the others with those that each key has of its own.

    A team without keys has limits all the same.
    """
    first, *others = team.keys or (Key("", ""),)
    own = tuple(limit for limit in team.limits if limit.per_key)
    with_own = replace(team, limits=own)
    return [Caller(team, first), *(Caller(with_own, key) for key in others if own)]
