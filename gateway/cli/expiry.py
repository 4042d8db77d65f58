"""When a key ends, as `--expires` says it: `90d`, `2027-01-01`, an RFC 3339 instant, or `never`."""

import re
from datetime import UTC, datetime

from gateway.cli.invocation import CannotRunError
from gateway.core.nodes import show
from gateway.core.parse_instants import parse_instant
from gateway.core.policy import Key
from gateway.core.quantities import parse_duration
from gateway.core.wording import rfc3339

NEVER = "never"

FORMS = "`90d`, `2027-01-01`, an RFC 3339 instant, or `never`"

_DURATION = re.compile(r"\s*[0-9.]+\s*(ms|s|min|h|d)\s*")
_LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def read_expiry(text: str | None, timezone: str, now: float) -> str | None:
    """What the policy file is to say: a date as given, a duration as the instant it ends at, None for never.

    Raises CannotRunError where it is none of these, or leaves the key no time.
    """
    if text is None or text == NEVER:
        return None
    is_duration = _DURATION.fullmatch(text) is not None
    if not is_duration and not re.match(r"[0-9]{4}-", text):
        raise CannotRunError(f"--expires must be {FORMS}, not {show(text)}")
    try:
        ends = now + parse_duration(text) if is_duration else parse_instant(text, timezone)
    except ValueError as error:
        raise CannotRunError(f"--expires {error}") from None
    if ends <= now:
        raise CannotRunError(f"--expires {text} is in the past: the key would never work")
    if ends > _LAST:
        raise CannotRunError(f"--expires {text} is after the year 9999: write `never`")
    return rfc3339(ends) if is_duration else text


def check_stated(text: str | None, old: Key) -> None:
    """Raise CannotRunError where the key to replace has an end and nothing says when its successor ends.

    How long the old one was meant to live stands nowhere, and a successor without an end would be a silent change.
    """
    if text is None and old.expires is not None:
        raise CannotRunError(
            f"the key `{old.name}` expires {rfc3339(old.expires)}: say when the new one does, "
            f"with `--expires 90d` or `--expires {NEVER}`"
        )
