"""Make, rotate, revoke and list the teams' keys.

A new key is printed once, alone, on stdout; policy files hold only its hash. The team's file is edited in place, with
comments and order kept, and stays as it was when the result would not be valid. Running gateways follow within 2 s.
"""

import itertools
import json
import re
import secrets
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.cli.invocation import CannotRunError, Invocation, find_key, find_team
from gateway.cli.options import add_settings, saying_why
from gateway.cli.tables import render_table
from gateway.core.keys import RANDOM_BYTES, digest, make_key
from gateway.core.parse_instants import parse_instant
from gateway.core.policy import DEFAULT_SCOPES, Key, Scope, Team
from gateway.core.quantities import parse_duration
from gateway.core.wording import rfc3339
from gateway.policies.edit import EditError, add_key, find_team_file, key_snippet, revoke_key, rewrite
from gateway.policies.files import read_settled
from gateway.policies.key_fields import set_key_field
from gateway.policies.load import parse_reading

DEFAULT_OVERLAP = "7d"


def add_options(parser: ArgumentParser) -> None:
    """One command each for new, rotate, revoke and list."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="add a key to a team and print it once")
    rotate = actions.add_parser("rotate", help="add a key with the same scopes; the old one goes on for a while")
    revoke = actions.add_parser("revoke", help="remove a key")
    listing = actions.add_parser("list", help="names, scopes, expiry and state, never the keys")
    for action in (new, rotate, revoke):
        action.add_argument("team", metavar="TEAM")
        action.add_argument("--name", required=True, help="the key's name, unique in its team")
    for action in (new, rotate):
        action.add_argument(
            "--expires", metavar="WHEN", help="`90d`, `2027-01-01` or an RFC 3339 instant; default never"
        )
    new.add_argument("--print", action="store_true", help="show the lines to paste instead of editing the file")
    rotate.add_argument(
        "--overlap",
        type=saying_why(parse_duration),
        default=DEFAULT_OVERLAP,
        help="how long the old key goes on (default %(default)s)",
    )
    listing.add_argument("team", metavar="TEAM", nargs="?")
    listing.add_argument("--format", choices=("table", "json"), default="table")
    for action in (new, rotate, revoke, listing):
        add_settings(action, "policies")


def run(call: Invocation) -> int:
    """Do what was asked."""
    try:
        return _ACTIONS[call.options.action](call)
    except EditError as error:
        raise CannotRunError(str(error)) from None
    except OSError as error:
        raise CannotRunError(f"{error.filename}: {error.strerror}") from None


def _new(call: Invocation) -> int:
    options = call.options
    team = _team(call)
    expires = _expires(options.expires, team, call.now)
    key = make_key(secrets.token_bytes(RANDOM_BYTES))
    if options.print:
        _tell(f"# a key for {team.name}: paste these lines under `keys:`")
        _tell(key_snippet(options.name, digest(key), expires))
    else:
        file = _edit(call, lambda text: add_key(text, options.name, digest(key), expires))
        _tell(f"key `{options.name}` of {team.name}, {_until(expires)}, added to {file}")
    _tell("this is the only time the key is shown:")
    print(key)
    return 0


def _rotate(call: Invocation) -> int:
    options = call.options
    team = _team(call)
    old = find_key(team, options.name)
    if old.has_expired(call.now):
        raise CannotRunError(f"the key `{old.name}` has expired: make a new one with `keys new`")
    ends = call.now + options.overlap
    name = _next_name(team, old.name)
    expires = _expires(options.expires, team, call.now)
    key = make_key(secrets.token_bytes(RANDOM_BYTES))

    def rotated(text: str) -> str:
        text = add_key(text, name, digest(key), expires)
        if old.scopes != DEFAULT_SCOPES:
            text = set_key_field(text, name, "scopes", f"[{', '.join(_words(old))}]")
        if old.expires is None or old.expires > ends:
            text = set_key_field(text, old.name, "expires", rfc3339(ends))
        return text

    file = _edit(call, rotated)
    last = min(ends, old.expires or ends)
    _tell(f"key `{name}` of {team.name}, {_until(expires)}, added to {file}")
    _tell(f"the old key `{old.name}` works until {rfc3339(last)}")
    _tell("this is the only time the new key is shown:")
    print(key)
    return 0


def _revoke(call: Invocation) -> int:
    name = call.options.name
    team = _team(call)
    find_key(team, name)
    file = _edit(call, lambda text: revoke_key(text, name))
    _tell(f"key `{name}` of {team.name} removed from {file}: running gateways refuse it within 2 s")
    return 0


def _list(call: Invocation) -> int:
    teams = [_team(call)] if call.options.team else call.load_policies().teams.values()
    keys = [(team, key) for team in teams for key in team.keys]
    if call.options.format == "json":
        rows = [
            {
                "team": team.name,
                "key": key.name,
                "scopes": _words(key),
                "expires": None if key.expires is None else rfc3339(key.expires),
                "state": _state(key, call.now),
            }
            for team, key in keys
        ]
        print(json.dumps(rows, indent=2))
        return 0
    table = [(team.name, key.name, " ".join(_words(key)), _expiry(key), _state(key, call.now)) for team, key in keys]
    print(render_table(("TEAM", "KEY", "SCOPES", "EXPIRES", "STATE"), table))
    return 0


_ACTIONS: dict[str, Callable[[Invocation], int]] = {"new": _new, "rotate": _rotate, "revoke": _revoke, "list": _list}


def _edit(call: Invocation, change: Callable[[str], str]) -> Path:
    """Change the team's file, unless the set would no longer be valid; the file."""
    path = Path(call.settings.policies)
    file = find_team_file(path, call.options.team)

    def changed(text: str) -> str:
        edited = change(text)
        reading = read_settled(path)
        files = [replace(each, content=edited.encode()) if each.path == str(file) else each for each in reading.files]
        loaded = parse_reading(replace(reading, files=tuple(files)))
        if loaded.policy is None:
            problems = "\n".join(map(str, loaded.problems))
            raise CannotRunError(f"nothing was changed: the policies would not be valid\n{problems}")
        return edited

    rewrite(file, changed)
    return file


def _team(call: Invocation) -> Team:
    return find_team(call.load_policies(), call.options.team)


def _next_name(team: Team, name: str) -> str:
    """`web`, `web-2`, `web-3`: the first that is free."""
    stem = re.sub(r"-[0-9]+$", "", name)
    taken = {key.name for key in team.keys}
    return next(f"{stem}-{number}" for number in itertools.count(2) if f"{stem}-{number}" not in taken)


def _expires(text: str | None, team: Team, now: float) -> str | None:
    """What the file is to say: a date as given, a duration as the instant it ends at."""
    if text is None:
        return None
    if re.fullmatch(r"\s*[0-9.]+\s*[a-z]+\s*", text):
        return rfc3339(now + _parsed(parse_duration, text))
    if _parsed(lambda given: parse_instant(given, team.timezone), text) <= now:
        raise CannotRunError(f"--expires {text} is in the past")
    return text


def _parsed(parse: Callable[[str], float], text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise CannotRunError(f"--expires {error}") from None


def _words(key: Key) -> list[str]:
    return [scope.value for scope in Scope if scope in key.scopes]


def _state(key: Key, now: float) -> str:
    return "expired" if key.has_expired(now) else "active"


def _expiry(key: Key) -> str:
    return "never" if key.expires is None else rfc3339(key.expires)


def _until(expires: str | None) -> str:
    return "without expiry" if expires is None else f"valid until {expires}"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
