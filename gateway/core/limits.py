"""Limits as counters: what a call takes from which counter, and how full each limit is.

A counter is named by unit, team, key (where each key has its own), window and models, never by a limit's name or
amount. Limits that count the same thing share one, so renaming or editing a limit does not reset what is used.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from gateway.core.access import matches
from gateway.core.claims import Bound, Claim, OnSettle
from gateway.core.policy import Caller, Limit, Mode, Period, Team, Unit
from gateway.core.windows import Window, window_at

_LEVEL = "at-once"
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class RequestBound:
    """One counter every call counts on by one, for a while: `ceiling` is that of `limit`, the tightest one on it.

    A bound of mode `shadow` counts and reports, and never refuses. `bounds` are all limits on the counter, tightest
    first; `window_seconds` is the length of the window that ends at `window_ends`.
    """

    counter: str
    limit: Limit
    ceiling: int
    window_ends: float
    window_seconds: int
    bounds: tuple[Bound, ...]

    @property
    def mode(self) -> Mode:
        """Whether the bound refuses or only reports."""
        return self.limit.mode


class LimitState(NamedTuple):
    """How full one limit is. Amounts of unit USD are micro-USD.

    `resets_at` and `window_seconds` are None for a level (`at once`); `seconds_left` are whole seconds until the
    window ends, at least 1.
    """

    limit: Limit
    counter: str
    ceiling: int
    used: int
    resets_at: float | None
    window_seconds: int | None
    seconds_left: int | None

    @property
    def remaining(self) -> int:
        """What is left, never below 0: a limit may have been lowered below its use."""
        return max(0, self.ceiling - self.used)


def counter_name(limit: Limit, caller: Caller, window: Window | None) -> str:
    """`jobs/marketing//2026-11-23/`: unit, team, key, window and models, in this order.

    Teams and keys are named in letters, digits, `.`, `_` and `-`, and only the last part is free. In that,
    a comma of a pattern's own is `\\,`, so no two counters share a name.
    """
    key = caller.key.name if limit.per_key else ""
    label = window.label if window else _LEVEL
    return f"{limit.unit}/{caller.team.name}/{key}/{label}/{','.join(map(_escaped, sorted(limit.models)))}"


def _escaped(pattern: str) -> str:
    return pattern.replace("\\", "\\\\").replace(",", "\\,")


def window_of(limit: Limit, caller: Caller, now: float) -> Window | None:
    """The limit's window in the team's time zone; None for a level."""
    return None if limit.period is Period.AT_ONCE else window_at(limit.period, caller.team.timezone, now)


def claims_for(caller: Caller, model: str, price: int, seconds: int, now: float) -> tuple[Claim, ...]:
    """What a create takes: one claim per counter, sorted by counter. What costs nothing claims nothing.

    `price` in micro-USD, `seconds` of video.
    """
    amounts = {Unit.JOBS: 1, Unit.SECONDS: seconds, Unit.USD: price}
    limits = [limit for limit in caller.team.limits if applies_to(limit, model)]
    return _claim(caller, limits, amounts, now)


def upload_claims(caller: Caller, now: float) -> tuple[Claim, ...]:
    """What one upload URL takes."""
    return _claim(caller, caller.team.limits, {Unit.UPLOADS: 1}, now)


def applies_to(limit: Limit, model: str) -> bool:
    """Whether the limit counts calls for this model."""
    return not limit.models or matches(limit.models, model)


def _claim(caller: Caller, limits: Iterable[Limit], amounts: Mapping[Unit, int], now: float) -> tuple[Claim, ...]:
    wanted = [limit for limit in limits if amounts.get(limit.unit, 0) > 0]
    claims = [
        Claim(
            counter=counter,
            amount=amounts[bounds[0].limit.unit],
            ceiling=_ceiling(bounds),
            on_settle=_on_settle(bounds[0].limit),
            bounds=bounds,
            window_ends=window.ends if window else None,
        )
        for counter, window, bounds in _by_counter(caller, wanted, now)
    ]
    return tuple(claims)


def _by_counter(
    caller: Caller, limits: Iterable[Limit], now: float
) -> list[tuple[str, Window | None, tuple[Bound, ...]]]:
    """The counters of these limits, sorted by name, each with its limits, tightest first."""
    found: dict[str, tuple[Window | None, list[Bound]]] = {}
    for limit in limits:
        window = window_of(limit, caller, now)
        _, bounds = found.setdefault(counter_name(limit, caller, window), (window, []))
        bounds.append(Bound(limit, limit.ceiling(now)))
    return [
        (counter, window, tuple(sorted(bounds, key=lambda bound: bound.ceiling)))
        for counter, (window, bounds) in sorted(found.items(), key=lambda item: item[0])
    ]


def tightest(bounds: Iterable[Bound]) -> Bound | None:
    """The bound that would refuse first; None where all of them only report."""
    return next((bound for bound in bounds if bound.limit.mode is Mode.ENFORCE), None)


def _ceiling(bounds: tuple[Bound, ...]) -> int | None:
    bound = tightest(bounds)
    return None if bound is None else bound.ceiling


def _on_settle(limit: Limit) -> OnSettle:
    if limit.period is Period.AT_ONCE:
        return OnSettle.RETURN
    return OnSettle.ADJUST if limit.unit is Unit.USD else OnSettle.KEEP


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The bounds of one team or of one caller, right from `starts` until just before `ends`."""

    of: Team | Caller
    starts: float
    ends: float
    bounds: tuple[RequestBound, ...]


_remembered: dict[str, _Remembered] = {}
"""Request bounds, which every call needs and which change once a window. Losing one costs nothing.

By team name, for all its keys together; by key digest where each key has bounds of its own.
"""


def request_bounds(caller: Caller, now: float) -> tuple[RequestBound, ...]:
    """What a call on the public listener counts on, whatever it asks for."""
    of, name = (caller, caller.key.digest) if caller.team.counts_requests_by_key else (caller.team, caller.team.name)
    known = _remembered.get(name)
    if known is None or known.of is not of or not known.starts <= now < known.ends:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        starts, ends, bounds = _bounds_at(caller, now)
        known = _remembered[name] = _Remembered(of, starts, ends, bounds)
    return known.bounds


def _bounds_at(caller: Caller, now: float) -> tuple[float, float, tuple[RequestBound, ...]]:
    """The bounds now, and from when until when they are the same."""
    limits = caller.team.request_limits
    windows = [window_at(limit.period, caller.team.timezone, now) for limit in limits]
    changes = [override.until for limit in limits for override in limit.overrides if override.until > now]
    starts = max((window.starts for window in windows), default=float("-inf"))
    ends = min((*changes, *(window.ends for window in windows)), default=float("inf"))
    bounds = []
    for counter, window, sharing in _by_counter(caller, limits, now):
        assert window is not None, "requests are counted per window"
        first = tightest(sharing) or sharing[0]
        bounds.append(RequestBound(counter, first.limit, first.ceiling, window.ends, window.seconds, sharing))
    return starts, ends, tuple(bounds)


def counters_of(caller: Caller, now: float) -> tuple[str, ...]:
    """Every counter the caller's limits read, sorted."""
    limits = caller.team.limits
    return tuple(sorted({counter_name(limit, caller, window_of(limit, caller, now)) for limit in limits}))


def limit_states(caller: Caller, used: Mapping[str, int], now: float) -> tuple[LimitState, ...]:
    """How full each of the team's limits is for this caller, in policy order; `used` by counter."""
    return tuple(_state(caller, limit, used, now) for limit in caller.team.limits)


def _state(caller: Caller, limit: Limit, used: Mapping[str, int], now: float) -> LimitState:
    window = window_of(limit, caller, now)
    counter = counter_name(limit, caller, window)
    return LimitState(
        limit=limit,
        counter=counter,
        ceiling=limit.ceiling(now),
        used=used.get(counter, 0),
        resets_at=window.ends if window else None,
        window_seconds=window.seconds if window else None,
        seconds_left=seconds_until(window.ends, now) if window else None,
    )


def request_state(bound: RequestBound, used: int, now: float) -> LimitState:
    """How full a request bound is, as the answer's `RateLimit` fields tell it."""
    left = seconds_until(bound.window_ends, now)
    return LimitState(bound.limit, bound.counter, bound.ceiling, used, bound.window_ends, bound.window_seconds, left)


def seconds_until(instant: float, now: float) -> int:
    """Whole seconds after which the instant has surely come; at least 1."""
    return max(1, ceil(instant - now))


def shadowed(claims: Iterable[Claim], used: Mapping[str, int]) -> tuple[Limit, ...]:
    """The shadow limits that would have refused what has been admitted; `used` by counter, afterwards."""
    return tuple(
        bound.limit
        for claim in claims
        for bound in claim.bounds
        if bound.limit.mode is Mode.SHADOW and used.get(claim.counter, 0) > bound.ceiling
    )


def crossed(bound: Bound, before: int, after: int) -> tuple[int, ...]:
    """The warning percentages of a limit that its use passed or reached on the way from `before` to `after`."""
    return tuple(
        percent for percent in sorted(bound.limit.warn) if before * 100 < percent * bound.ceiling <= after * 100
    )
