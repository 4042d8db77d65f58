"""How amounts, limits and instants read in a sentence, the same on every surface."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.core.money import format_usd
from gateway.core.policy import Limit, Period, Unit


def amount_words(amount: int, unit: Unit) -> str:
    """`3.00 USD`, `8 seconds`, `1 job`."""
    if unit is Unit.USD:
        return f"{format_usd(amount)} USD"
    return f"{amount} {unit.removesuffix('s') if amount == 1 else unit}"


def limit_words(limit: Limit, ceiling: int) -> str:
    """`200 jobs per day`, `5 jobs at once`, with the amount in force."""
    window = limit.period if limit.period is Period.AT_ONCE else f"per {limit.period}"
    return f"{amount_words(ceiling, limit.unit)} {window}"


def instant_words(instant: float, timezone: str) -> str:
    """`2026-12-01 00:00 Europe/Berlin`: minutes on the team's own clock, seconds where there are any."""
    local = datetime.fromtimestamp(instant, ZoneInfo(timezone))
    return f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00") + f" {timezone}"


def rfc3339(instant: float) -> str:
    """An instant as RFC 3339 in UTC, whole seconds."""
    return _rfc3339_second(int(instant))


@lru_cache(maxsize=64)
def _rfc3339_second(second: int) -> str:
    """Kept, because every access line asks for the second it is written in."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
