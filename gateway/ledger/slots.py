"""Uploads that may come through the gateway: `Ledger.slots`.

The signed URL is a secret while its signature holds. It is kept under the digest of a token that stands nowhere, so any
worker and any replica finds it for who has the token, and a copy of the ledger gives nobody a token.
"""

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from gateway.ledger.common_sql import OnConflict
from gateway.ledger.outbox import Doing
from gateway.ledger.schema import upload_slots
from gateway.ledger.statement import Statement, blob, instant, text


@dataclass(frozen=True, slots=True)
class UploadSlot:
    """One upload that a team's key may make, to `url`, as `content_type`, before `expires_at`."""

    digest: bytes = field(repr=False)
    team: str
    key: str
    url: str = field(repr=False)
    content_type: str
    expires_at: float


_KEEP = Statement(
    insert(upload_slots)
    .values(
        digest=blob("digest"),
        team=text("team"),
        key=text("key"),
        url=text("url"),
        content_type=text("content_type"),
        expires_at=instant("expires_at"),
    )
    .ext(OnConflict())
)
_TAKE = Statement(delete(upload_slots).where(upload_slots.c.digest == blob("digest")))


class Slots:
    """The uploads that may come. Every method raises LedgerUnavailable."""

    def __init__(self, write: Doing, read: Doing) -> None:
        self._write = write
        self._read = read

    async def keep(self, slot: UploadSlot) -> None:
        """Let the upload come, until the slot expires."""
        await self._write("keep_upload", keep, slot)

    async def find(self, digest: bytes, now: float) -> UploadSlot | None:
        """The slot of this token; None if there is none, or none any more."""
        return await self._read("find_upload", find, digest, now)

    async def take(self, slot: UploadSlot) -> bool:
        """Use the slot up. False if another call was faster."""
        return await self._write("take_upload", take, slot)


def keep(connection: Connection, slot: UploadSlot) -> None:
    """As `Slots.keep`."""
    _KEEP.changes(
        connection,
        digest=slot.digest,
        team=slot.team,
        key=slot.key,
        url=slot.url,
        content_type=slot.content_type,
        expires_at=slot.expires_at,
    )


def find(connection: Connection, digest: bytes, now: float) -> UploadSlot | None:
    """As `Slots.find`."""
    row = connection.execute(
        select(upload_slots).where(upload_slots.c.digest == digest, upload_slots.c.expires_at > now)
    ).one_or_none()
    return None if row is None else UploadSlot(*row)


def take(connection: Connection, slot: UploadSlot) -> bool:
    """As `Slots.take`."""
    return _TAKE.changes(connection, digest=slot.digest) == 1
