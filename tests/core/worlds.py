"""Small worlds for the core's tests: a team, its caller, and an instant."""

from datetime import datetime
from zoneinfo import ZoneInfo

from gateway.core.policy import Caller, Key, Limit, Period, PolicySet, Price, Team, Unit, Unpriced
from gateway.core.wire import Draft, draft_of

KEY = Key("web", "0" * 64)


def at(text: str, timezone: str = "UTC", *, fold: int = 0) -> float:
    """The instant at which a clock in the zone shows this ISO time; `fold=1` the second time it does."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold).timestamp()


NOON = at("2026-11-23T12:00:00")


def caller_with(*limits: Limit, timezone: str = "UTC", key: Key = KEY) -> Caller:
    """A caller of team marketing, which may use every Veo3 and has these limits."""
    return Caller(Team("marketing", timezone=timezone, keys=(key,), allow=("Veo3*",), limits=limits), key)


def limit(amount: int, unit: Unit = Unit.JOBS, period: Period = Period.DAY, name: str = "") -> Limit:
    """A limit named as the parser would name it."""
    return Limit(name or f"{unit.lower()}-{period.replace(' ', '-')}", amount, unit, period)


def draft(payload: dict[str, object] | None = None, model: str = "Veo3") -> Draft:
    """A draft whose bytes nobody looks at."""
    return draft_of(model, payload or {}, b"")


def policies(caller: Caller, *prices: Price, unpriced: Unpriced = Unpriced.REFUSE) -> PolicySet:
    """The policy set that holds this caller's team alone."""
    return PolicySet({caller.team.name: caller.team}, {}, prices, unpriced)
