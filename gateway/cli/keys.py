"""Make, rotate, revoke and list the teams' keys.

A new key is printed once, alone, on stdout; policy files hold only its hash. The team's file is edited in place, with
comments and order kept, and stays as it was when the result would not be valid. Gateways reading it follow within 2 s.
"""

import json
import re
import secrets
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gateway.cli.display import show_table
from gateway.cli.expiry import FORMS, NEVER, check_stated, read_expiry
from gateway.cli.invocation import CannotRunError, Invocation, find_key, find_team
from gateway.cli.options import add_settings, saying_why
from gateway.core.keys import RANDOM_BYTES, digest, make_key
from gateway.core.nodes import one_of, show
from gateway.core.policy import DEFAULT_SCOPES, Key, Scope, Team
from gateway.core.quantities import parse_duration
from gateway.core.rotation import next_name, successor_of
from gateway.core.wording import rfc3339
from gateway.policies.edit import EditError, add_key, find_team_file, key_snippet, revoke_key, rewrite
from gateway.policies.files import read_settled
from gateway.policies.key_fields import set_key_field
from gateway.policies.load import parse_reading

DEFAULT_OVERLAP = "7d"

_READERS = "gateways that read this folder"

_HELP = {
    "new": (
        "add a key to a team and print it once",
        "Make a key, print it once on stdout, and add its hash to the team's file.",
    ),
    "rotate": (
        "add a key with the same scopes; the old one goes on for a while",
        "Make a key with the old one's scopes, called `NAME-2`, and let the old one end after the overlap.",
    ),
    "revoke": (
        "remove a key",
        "Remove a key from the team's file. Gateways that read it refuse the key within 2 s.",
    ),
    "list": (
        "names, scopes, expiry and state, never the keys",
        "List the keys of all teams, or of one: names, scopes, expiry and state, never the keys themselves.",
    ),
}
"""Of each action, a line and a sentence."""

_NAMES = {
    "new": "what to call the new key: in logs, usage and metrics, and unique in its team",
    "rotate": "the key to replace",
    "revoke": "the key to remove",
}


def add_options(parser: ArgumentParser) -> None:
    """One command each for new, rotate, revoke and list."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    added = {name: actions.add_parser(name, help=does, description=more) for name, (does, more) in _HELP.items()}
    for name, meaning in _NAMES.items():
        added[name].add_argument("team", metavar="TEAM", help="the team's name, as its file says it")
        added[name].add_argument("--name", required=True, help=meaning)
    for name, default in (("new", f"default {NEVER}"), ("rotate", "needed where the old key has an end")):
        added[name].add_argument("--expires", metavar="WHEN", help=f"{FORMS}; {default}")
    new, rotate, listing = added["new"], added["rotate"], added["list"]
    scopes = ", ".join(sorted(DEFAULT_SCOPES))
    new.add_argument("--scopes", type=saying_why(_parse_scopes), help=f"such as `models,jobs:read`; default {scopes}")
    for action in (new, rotate):
        action.add_argument(
            "--print",
            action="store_true",
            help="print the lines to paste instead of editing the file, the key to stderr",
        )
    rotate.add_argument(
        "--overlap",
        type=saying_why(parse_duration),
        default=DEFAULT_OVERLAP,
        help="how long the old key goes on (default %(default)s)",
    )
    listing.add_argument("team", metavar="TEAM", nargs="?", help="this team alone")
    listing.add_argument("--format", choices=("table", "json"), default="table")
    for action in added.values():
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
    expires = read_expiry(options.expires, team.timezone, call.now)
    key = make_key(secrets.token_bytes(RANDOM_BYTES))

    def added(text: str) -> str:
        text = add_key(text, options.name, digest(key), expires)
        return set_key_field(text, options.name, "scopes", options.scopes) if options.scopes else text

    if options.print:
        if options.name in [other.name for other in team.keys]:
            raise CannotRunError(f"{team.name} has a key `{options.name}` already: choose another name")
        _print_lines(team, key, key_snippet(options.name, digest(key), expires), options.scopes)
        return 0
    file = _edit(call, added)
    _tell(f"key `{options.name}` of {team.name}, {_until(expires)}, added to {file}: {_READERS} take it within 2 s")
    _tell("this is the only time the key is shown:")
    print(key)
    return 0


def _rotate(call: Invocation) -> int:
    options = call.options
    team = _team(call)
    old = find_key(team, options.name)
    _check_rotatable(team, old, call.now)
    check_stated(options.expires, old)
    ends = call.now + options.overlap
    name = next_name(team, old.name)
    expires = read_expiry(options.expires, team.timezone, call.now)
    key = make_key(secrets.token_bytes(RANDOM_BYTES))
    scopes = None if old.scopes == DEFAULT_SCOPES else f"[{', '.join(_words(old))}]"
    last = min(ends, old.expires or ends)

    def rotated(text: str) -> str:
        text = add_key(text, name, digest(key), expires)
        if scopes is not None:
            text = set_key_field(text, name, "scopes", scopes)
        if old.expires is None or old.expires > ends:
            text = set_key_field(text, old.name, "expires", rfc3339(ends))
        return text

    if options.print:
        _print_lines(team, key, key_snippet(name, digest(key), expires), scopes)
        _tell(f"and let the old key `{old.name}` end: `expires: {rfc3339(last)}`")
        return 0
    file = _edit(call, rotated)
    _tell(f"key `{name}` of {team.name}, {_until(expires)}, added to {file}: {_READERS} take it within 2 s")
    _tell(f"the old key `{old.name}` works until {rfc3339(last)}")
    _tell("this is the only time the new key is shown:")
    print(key)
    return 0


def _print_lines(team: Team, key: str, snippet: str, scopes: str | None) -> None:
    """The lines of a new key on stdout, and on stderr the key itself and what to do."""
    _tell(f"a key for {team.name}, shown this once: {key}\npaste these lines under the `keys:` of its file:")
    print(snippet)
    if scopes is not None:
        print(f"  scopes: {scopes}")


def _check_rotatable(team: Team, old: Key, now: float) -> None:
    """Raise CannotRunError for a key that has ended, and for one whose successor lives: that one is to be rotated."""
    if old.has_expired(now):
        raise CannotRunError(f"the key `{old.name}` has expired: make a new one with `keys new`")
    successor = successor_of(team, old, now)
    if successor is not None:
        raise CannotRunError(f"`{old.name}` was already replaced by `{successor.name}`: rotate that")


def _revoke(call: Invocation) -> int:
    name = call.options.name
    team = _team(call)
    find_key(team, name)
    file = _edit(call, lambda text: revoke_key(text, name))
    _tell(f"key `{name}` of {team.name} removed from {file}: {_READERS} refuse it within 2 s")
    return 0


def _list(call: Invocation) -> int:
    teams = [_team(call)] if call.options.team else [*call.load_policies().teams.values()]
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
    if not keys:
        whose = f"{teams[0].name} has no" if call.options.team else "no team has a"
        _tell(f"{whose} key yet: make one with `gmi-gateway keys new TEAM --name NAME`")
        return 0
    table = [(team.name, key.name, " ".join(_words(key)), _expiry(key), _state(key, call.now)) for team, key in keys]
    show_table(("TEAM", "KEY", "SCOPES", "EXPIRES", "STATE"), table)
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


def _parse_scopes(text: str) -> str:
    """The scopes as the file is to list them."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    for word in words:
        if word not in list(Scope):
            raise ValueError(f"{show(word)} is no scope; use {one_of(Scope)}")
    if not words:
        raise ValueError(f"must name at least one of {one_of(Scope)}")
    return f"[{', '.join(dict.fromkeys(words))}]"


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
