"""Calls the gateway refused: counted for people to see, and nothing is decided by them."""

from collections.abc import Mapping

from sqlalchemy import BigInteger, Connection, cast, func, insert, select

from gateway.ledger.common_sql import OnConflict
from gateway.ledger.schema import refusals
from gateway.ledger.statement import Statement, instant, integer, text
from gateway.ledger.values import Refused

_c = refusals.c
_counted = insert(refusals).values(
    team=text("team"),
    starts=instant("starts"),
    key=text("key"),
    model=text("model"),
    code=text("code"),
    count=integer("count"),
)
_ADD = Statement(
    _counted.ext(OnConflict(*refusals.primary_key.columns.keys(), set={"count": _c["count"] + integer("count")}))
)


def add(connection: Connection, counts: Mapping[Refused, int]) -> None:
    """Add these counts to what is counted already."""
    _ADD.run_many(
        connection,
        [
            {
                "team": refused.team,
                "starts": refused.starts,
                "key": refused.key,
                "model": refused.model,
                "code": refused.code,
                "count": count,
            }
            for refused, count in counts.items()
        ],
    )


def refused_between(
    connection: Connection, team: str | None, starts: float, ends: float
) -> dict[tuple[str, str, str], int]:
    """How many calls of one team, or of all, were refused from `starts` until before `ends`: by team, key and model.

    Exact where both are whole quarters of an hour, as the ends of months are in every time zone.
    """
    query = (
        select(_c.team, _c.key, _c.model, cast(func.sum(_c["count"]), BigInteger))
        .where(_c.starts >= starts, _c.starts < ends)
        .group_by(_c.team, _c.key, _c.model)
    )
    if team is not None:
        query = query.where(_c.team == team)
    return {(team, key, model): count for team, key, model, count in connection.execute(query)}
