"""Answers of upstream that must survive a restart: with upstream down, the last listing is still served."""

from typing import Any

from sqlalchemy import BindParameter, Connection, insert, select

from gateway.ledger.common_sql import OnConflict
from gateway.ledger.replies import decode_headers, encode_headers
from gateway.ledger.schema import snapshots
from gateway.ledger.statement import Statement, blob, instant, text
from gateway.ledger.values import Snapshot

_kept: dict[str, BindParameter[Any]] = {
    "headers": blob("headers"),
    "body": blob("body"),
    "fetched_at": instant("fetched_at"),
}
_SAVE = Statement(
    insert(snapshots)
    .values(name=text("name"), **_kept)
    .ext(OnConflict("name", set=_kept, where=snapshots.c.fetched_at <= instant("fetched_at")))
)


def save(connection: Connection, name: str, snapshot: Snapshot) -> None:
    """Keep this answer, unless a newer one is kept already."""
    headers = encode_headers(snapshot.headers)
    _SAVE.changes(connection, name=name, headers=headers, body=snapshot.body, fetched_at=snapshot.fetched_at)


def load(connection: Connection, name: str) -> Snapshot | None:
    """The answer kept under this name."""
    row = connection.execute(select(snapshots).where(snapshots.c.name == name)).one_or_none()
    return None if row is None else Snapshot(decode_headers(row.headers), row.body, row.fetched_at)
