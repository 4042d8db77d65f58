"""Calendar windows: every instant lies in exactly one, in every time zone, over every change of the clocks.

Seconds, minutes and hours are cut by the local clock while its UTC offset stays the same, so an hour that is repeated
in autumn is two windows with two labels. A day begins at the first instant that shows its date or a later one, and
ends where the next begins; weeks (ISO 8601, from Monday) and months are whole days.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.core.policy import Period

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Window:
    """From the instant `starts` until just before `ends`. `label` names it uniquely in its time zone."""

    label: str
    starts: float
    ends: float

    @property
    def seconds(self) -> int:
        """How long it really is: a day may have 23 or 25 hours."""
        return int(self.ends - self.starts)


_current: dict[tuple[Period, str], Window] = {}
"""The window last asked for: nearly every call falls in it, and policies name few pairs. Losing one costs nothing."""


def window_at(period: Period, timezone: str, now: float) -> Window:
    """The window of `period` in the IANA zone `timezone` that holds the instant `now`.

    Raises ZoneInfoNotFoundError for an unknown zone and KeyError for `at once`, which has no window.
    """
    window = _current.get((period, timezone))
    if window is None or not window.starts <= now < window.ends:
        window = _current[period, timezone] = _find(period, _zone(timezone), now)
    return window


@lru_cache(maxsize=1024)
def _zone(timezone: str) -> ZoneInfo:
    return ZoneInfo(timezone)


def _find(period: Period, zone: ZoneInfo, now: float) -> Window:
    if period in _CLOCK:
        return _clock_window(period, zone, int(now // 1))
    return _calendar_window(period, zone, now)


_CLOCK = {Period.SECOND: (1, "%Y-%m-%dT%H:%M:%S%z"), Period.MINUTE: (60, "%Y-%m-%dT%H:%M%z")}
_CLOCK[Period.HOUR] = (3600, "%Y-%m-%dT%H%z")
"""By period: how many seconds it has, and the form of its label."""


def _clock_window(period: Period, zone: ZoneInfo, now: int) -> Window:
    """The second, minute or hour of the local clock; shorter where the clock is changed in its midst."""
    length, form = _CLOCK[period]
    offset = _offset(zone, now)
    starts = now - (now + offset) % length
    ends = starts + length
    if _offset(zone, starts) != offset:
        starts = _first_with_offset_of(now, zone, starts)
    if _offset(zone, ends - 1) != offset:
        ends = _first_with_offset_of(ends - 1, zone, now)
    return Window(datetime.fromtimestamp(now, zone).strftime(form), float(starts), float(ends))


def _offset(zone: ZoneInfo, instant: int) -> int:
    """Seconds the local clock is ahead of UTC."""
    ahead = datetime.fromtimestamp(instant, zone).utcoffset()
    return 0 if ahead is None else round(ahead.total_seconds())


def _first_with_offset_of(later: int, zone: ZoneInfo, earlier: int) -> int:
    """The instant of the one change of offset between `earlier` and `later`: clocks change at whole seconds."""
    wanted = _offset(zone, later)
    while later - earlier > 1:
        middle = (earlier + later) // 2
        if _offset(zone, middle) == wanted:
            later = middle
        else:
            earlier = middle
    return later


def _calendar_window(period: Period, zone: ZoneInfo, now: float) -> Window:
    """The day, week or month. Where the clocks go back over midnight, the new day goes on: it never ends twice."""
    first_of, label_of, step = _CALENDAR[period]
    whole = now // 1  # datetime would round the last half microsecond of a day up to the next one
    first = first_of(datetime.fromtimestamp(whole, zone).date())
    following = first_of(first + step)
    while _start_of(following, zone) <= now:
        first, following = following, first_of(following + step)
    return Window(label_of(first), float(_start_of(first, zone)), float(_start_of(following, zone)))


def _start_of(day: date, zone: ZoneInfo) -> int:
    """The first instant whose local clock shows 00:00 of `day` or later.

    Where 00:00 comes twice it is the first one; where it is skipped (PEP 495: fold=0 then lies after fold=1), the
    instant of the change.
    """
    midnight = datetime.combine(day, time(), zone)
    first, second = round(midnight.timestamp()), round(midnight.replace(fold=1).timestamp())
    return first if first <= second else _first_with_offset_of(first, zone, second - 1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _same(day: date) -> date:
    return day


def _week_label(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def _month_label(day: date) -> str:
    return day.isoformat()[:7]


_CALENDAR: dict[Period, tuple[Callable[[date], date], Callable[[date], str], timedelta]] = {
    Period.DAY: (_same, date.isoformat, _DAY),
    Period.WEEK: (_monday, _week_label, 7 * _DAY),
    Period.MONTH: (_first_of_month, _month_label, 31 * _DAY),
}
"""By period: its first day, its label from that day, and a step from its first day that lands in the next one."""
