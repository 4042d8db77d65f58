"""What teams' receivers were told of their jobs, and telling it again.

`list` shows deliveries, newest first, with the host alone of each URL. `redeliver` takes ids of that list, or `--all`
with `--team`, `--state` or `--request-id`: a gateway that runs sends each within a second, and again for a day until it
is taken. What has not happened yet is not sent.
"""

import asyncio
import json
from argparse import ArgumentParser, Namespace

from gateway.cli.display import show_table
from gateway.cli.invocation import CannotRunError, Invocation, check_known
from gateway.cli.options import add_settings, saying_why
from gateway.core.webhooks import Standing
from gateway.core.wording import rfc3339
from gateway.ledger.delivery_values import PREFIX, DeliveryState, Wanted
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.ledger import Ledger
from gateway.ledger.reader import LedgerReader, read_ledger

HEADER = ("ID", "CREATED", "TEAM", "HOST", "REQUEST", "STATE", "TRIED", "NEXT", "STATUS", "PROBLEM")
_BITE = 500
_MOST_DIGITS = 9


def add_options(parser: ArgumentParser) -> None:
    """Which deliveries, what to do with them, and how it is shown."""
    parser.add_argument("action", choices=("list", "redeliver"), help="what to do")
    text = saying_why(_parse_text)
    parser.add_argument("ids", nargs="*", type=text, metavar="ID", help="with `redeliver`: these deliveries")
    parser.add_argument("--all", action="store_true", help="with `redeliver`: all that are chosen by an option")
    parser.add_argument("--team", type=text, help="this team's alone")
    parser.add_argument("--state", choices=[each.value for each in Standing], help="those that stand so alone")
    parser.add_argument("--request-id", type=text, metavar="ID", help="those that tell of this job alone")
    limit = saying_why(_parse_limit)
    parser.add_argument("--limit", type=limit, default=50, metavar="N", help="list so many [default 50]")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    add_settings(parser, "ledger")


def run(call: Invocation) -> int:
    """List or redeliver."""
    options, url = call.options, call.settings.ledger
    try:
        if options.action == "list":
            return _list(options, url)
        return _redeliver(options, url, _chosen(options, url), call.now)
    except LedgerUnavailable as error:
        raise CannotRunError(str(error)) from None


def _parse_text(text: str) -> str:
    """What a database can be asked for: not the bytes that Python keeps as halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"must be text in UTF-8, not {text!r}") from None
    return text


def _parse_limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise ValueError(f"must be a whole number of at most {_MOST_DIGITS} digits, not {text!r}")
    return int(text)


def _wanted(options: Namespace, limit: int) -> Wanted:
    standing = None if options.state is None else Standing(options.state)
    return Wanted(options.team, standing, options.request_id, limit)


def _check_team(ledger: LedgerReader, team: str | None) -> None:
    """Raises CannotRunError for a team that is not in the ledger, unless none is there yet."""
    if team is None or ledger.deliveries(Wanted(team, limit=0))[1]:
        return
    known = ledger.teams()
    if known or ledger.deliveries(Wanted(limit=0))[1]:
        check_known("the ledger knows no team", team, known)


def _list(options: Namespace, url: str) -> int:
    if options.ids or options.all:
        raise CannotRunError("`list` takes no ids and no --all; choose with --team, --state and --request-id")
    with read_ledger(url) as ledger:
        _check_team(ledger, options.team)
        found, total = ledger.deliveries(_wanted(options, options.limit))
    if options.format == "json":
        print(json.dumps({"webhooks": [each.facts() for each in found], "total": total}, indent=2))
    else:
        show_table(HEADER, list(map(_cells, found)), right=frozenset((6, 8)))
        if len(found) < total:
            print(f"… and {total - len(found)} more; see --limit")
    return 0


def _chosen(options: Namespace, url: str) -> list[str]:
    """The ids to redeliver. Raises CannotRunError for none, and for one that is in no ledger."""
    chosen_by = (options.team, options.state, options.request_id) != (None, None, None)
    if bool(options.ids) == options.all or (options.all and not chosen_by) or (options.ids and chosen_by):
        raise CannotRunError("name ids to redeliver, or --all with --team, --state or --request-id")
    named = list(dict.fromkeys(options.ids))
    with read_ledger(url) as ledger:
        _check_team(ledger, options.team)
        if options.all:
            _, total = ledger.deliveries(_wanted(options, 0))
            found, _ = ledger.deliveries(_wanted(options, total))
        else:
            found = [each for bite in _bites(named) for each in ledger.deliveries(Wanted(ids=bite, limit=_BITE))[0]]
    known = {each.id for each in found if each.standing is not Standing.WAITING}
    unknown = [each for each in named if each not in known]
    if unknown:
        like = "" if all(each.startswith(PREFIX) for each in unknown) else f"; an id begins with `{PREFIX}`: see `list`"
        raise CannotRunError(f"no delivery that could be sent again is called {', '.join(unknown)}{like}")
    return sorted(known)


def _bites(ids: list[str]) -> list[tuple[str, ...]]:
    return [tuple(ids[begin : begin + _BITE]) for begin in range(0, len(ids), _BITE)]


def _redeliver(options: Namespace, url: str, ids: list[str], now: float) -> int:
    count = asyncio.run(_make_due(url, ids, now))
    print(json.dumps({"redelivered": count}) if options.format == "json" else f"due again: {count}")
    return 0


async def _make_due(url: str, ids: list[str], now: float) -> int:
    ledger = Ledger(url)
    await ledger.open()
    try:
        instant = await ledger.instant()
        since = now if instant is None else instant
        return sum([await ledger.outbox.redeliver(bite, since) for bite in _bites(ids)])
    finally:
        await ledger.close()


def _cells(delivery: DeliveryState) -> list[str]:
    return [
        delivery.id,
        rfc3339(delivery.created_at),
        delivery.team,
        delivery.host,
        delivery.request_id or "-",
        delivery.standing,
        str(delivery.attempts),
        "-" if delivery.next_attempt_at is None else rfc3339(delivery.next_attempt_at),
        "-" if delivery.status is None else str(delivery.status),
        delivery.problem or "-",
    ]
