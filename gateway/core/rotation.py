"""What rotated keys are called: `web`, `web-2`, `web-3`, each the successor of those before it."""

import itertools
import re

from gateway.core.policy import Key, Team


def next_name(team: Team, name: str) -> str:
    """What the key's successor is to be called: the first name that is free."""
    stem, _ = _numbered(name)
    taken = {key.name for key in team.keys}
    return next(f"{stem}-{number}" for number in itertools.count(2) if f"{stem}-{number}" not in taken)


def successor_of(team: Team, old: Key, now: float) -> Key | None:
    """The latest key that was made to replace the old one and lives; None where there is none.

    A key without an end was replaced by none: a rotation gives the old one an end.
    """
    stem, number = _numbered(old.name)
    living = [(*_numbered(key.name), key) for key in team.keys if not key.has_expired(now)]
    later = [(place, key) for other, place, key in living if other == stem and place > number]
    return max(later, key=lambda each: each[0])[1] if later and old.expires is not None else None


def _numbered(name: str) -> tuple[str, int]:
    """A rotated key's name in its parts: `web-2` is (`web`, 2), and `web` itself the first."""
    match = re.fullmatch(r"(.+)-([0-9]+)", name)
    return (match[1], int(match[2])) if match else (name, 1)
