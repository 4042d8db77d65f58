"""Templates become pages. Everything is escaped: model names, request ids and messages are what clients sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway import __version__
from gateway.core.decide import Step
from gateway.core.money import MICRO, format_usd
from gateway.core.policy import Limit, Period, Unit
from gateway.core.wording import instant_words, rfc3339

_DASH = "\N{EN DASH}"
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))


def usd(micro: float) -> str:
    """Dollars to the cent, as columns show them: `1,234.50`."""
    return f"{micro / MICRO:,.2f}"


def span(seconds: float) -> str:
    """A duration by its largest unit: `3 d`, `45 s`."""
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(instant: float, now: float) -> str:
    """How long ago it was: `3 min ago`."""
    return "now" if now - instant < 1 else f"{span(now - instant)} ago"


def until(instant: float, now: float) -> str:
    """How long until then: `in 2 h`; `over` once it has come."""
    return f"in {span(instant - now)}" if instant > now else "over"


def percent(part: float, whole: float) -> str:
    """A share as whole percent; `100 %` only for all of it, `<1 %` for little, a dash for a share of nothing."""
    if not whole:
        return _DASH
    share = 100 * part / whole
    if 0 < share < 1:
        return "<1 %"
    return f"{99 if 99 < share < 100 else round(share)} %"


def amount(value: int, unit: Unit) -> str:
    """An amount of a limit without its unit: money to the cent, else with thousands set apart."""
    return usd(value) if unit is Unit.USD else f"{value:,}"


def clock(instant: float, timezone: str = "UTC") -> str:
    """`25 Nov 17:08 Europe/Berlin`."""
    return f"{datetime.fromtimestamp(instant, ZoneInfo(timezone)):%-d %b %H:%M} {timezone}"


def day(instant: float, timezone: str = "UTC") -> str:
    """`25 Nov`, on this clock."""
    return f"{datetime.fromtimestamp(instant, ZoneInfo(timezone)):%-d %b}"


def hour(instant: float) -> str:
    """`17:00 UTC`."""
    return f"{datetime.fromtimestamp(instant, UTC):%H:%M} UTC"


def limit_of(ceiling: int, limit: Limit) -> str:
    """What a limit allows: `500.00 USD a month`, `5 at once`, `10 jobs a minute`."""
    window = limit.period if limit.period is Period.AT_ONCE else f"a {limit.period}"
    return f"{amount(ceiling, limit.unit)} {limit.unit} {window}"


def step_parts(step: Step) -> tuple[str, str, str]:
    """A step of a decision as a refused call keeps it."""
    return step.rule, step.verdict, step.text


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": ago,
        "amount": amount,
        "clock": clock,
        "day": day,
        "exact_usd": format_usd,
        "hour": hour,
        "instant_words": instant_words,
        "limit_of": limit_of,
        "percent": percent,
        "rfc3339": rfc3339,
        "span": span,
        "step_parts": step_parts,
        "until": until,
        "usd": usd,
    }
    environment.globals["version"] = __version__
    return environment


_templates = _environment()


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """The page in UTF-8."""
    return _templates.get_template(template).render(values).encode()
