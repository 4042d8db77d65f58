"""FLOW files go through the gateway: an upload by a URL of its own, a job's artifacts by their names.

An upload: upstream's signed URL → a slot in the ledger and a token for it → the token comes back with the bytes → the
slot is taken → the bytes go on to storage → the slot is used up | kept for another try. The signed URL never leaves.
"""

import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

import msgspec

from gateway.context import Gateway
from gateway.core.artifacts import Artifact, find_artifacts
from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, PolicySet
from gateway.core.signed import CONTENT_TYPES, LIFE, find_text, replaced
from gateway.insistence import insist
from gateway.ledger.slots import UploadSlot
from gateway.storage import File
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.upstream.translate import outcome_in

UPLOADS_PATH = "/gateway/v1/uploads/"
"""Where uploads come; a token follows."""

_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
"""What so many bytes look like in a URL (RFC 4648 §5)."""


class Upload(NamedTuple):
    """An upload that may come now: its slot, and the caller who asked for it, under the policy in force."""

    slot: UploadSlot
    caller: Caller


def missing_address(policies: PolicySet, public_url: str) -> list[str]:
    """For each team that relays, that the gateway's own address is missing, if it is."""
    return [
        f"uploads of team {team.name!r}: `relay: true` needs GATEWAY_PUBLIC_URL, the gateway's address for clients"
        for team in policies.teams.values()
        if team.uploads.relay and not public_url
    ]


def require_public_url(gw: Gateway) -> str:
    """This gateway as clients see it. Refusal 500 without: a reload may let a team relay when the settings do not."""
    if not gw.settings.public_url:
        raise Refusal(
            Code.INTERNAL_ERROR,
            "The gateway does not know its own address; ask your platform team to set GATEWAY_PUBLIC_URL.",
        )
    return gw.settings.public_url


async def hand_out(gw: Gateway, caller: Caller, file_type: str, answer: Answer) -> Answer:
    """Upstream's answer with the gateway's own upload URL in the place of the signed one, and else byte for byte.

    Raises UpstreamFailure for a URL that does not lead to storage, and LedgerUnavailable.
    """
    try:
        text = answer.body.decode()
        signed = find_text(text, "upload_url")
        gw.storage.read(signed.value)
    except (ValueError, RecursionError):
        raise UpstreamFailure.invalid("Upstream's upload URL does not lead to its storage") from None
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    slot = UploadSlot(
        digest=_digest_of(token),
        team=caller.team.name,
        key=caller.key.name,
        url=signed.value,
        content_type=CONTENT_TYPES[file_type],
        expires_at=gw.now() + LIFE,
    )
    await gw.ledger.slots.keep(slot)
    body = replaced(text, signed, f"{require_public_url(gw)}{UPLOADS_PATH}{token}")
    return msgspec.structs.replace(answer, body=body.encode())


async def find_upload(gw: Gateway, token: str) -> Upload | None:
    """The upload of this token; None if there is none, or its key or team may not make it any more.

    The ledger is only asked where it may know: anybody may send anything for a token.
    """
    now = gw.now()
    if not _TOKEN.fullmatch(token) or not any(team.uploads.relay for team in gw.policies.current.teams.values()):
        return None
    slot = await gw.ledger.slots.find(_digest_of(token), now)
    team = gw.policies.current.teams.get(slot.team) if slot is not None else None
    if slot is None or team is None or not team.uploads.relay:
        return None
    key = next((each for each in team.keys if each.name == slot.key), None)
    return None if key is None or key.has_expired(now) else Upload(slot, Caller(team, key))


async def send_upload(gw: Gateway, slot: UploadSlot, length: int | None, body: AsyncIterator[bytes]) -> Answer | None:
    """Send the upload on; storage's answer. None if another call uses the slot just now, or did before.

    The slot is good for another try until storage has taken the file. Raises UpstreamFailure, and what `body` raises.
    """
    if not await gw.ledger.slots.take(slot):
        return None
    stored = False
    try:
        answer = await gw.storage.store(gw.storage.read(slot.url), slot.content_type, length, body)
        stored = answer.status < 300
    finally:
        if not stored:
            await gw.tasks.shield(insist(gw, partial(gw.ledger.slots.keep, slot)), "keep the upload")
    return answer


def artifacts_of(record: bytes) -> tuple[Artifact, ...]:
    """The files of a job, by its record."""
    return find_artifacts(outcome_in(record))


async def fetch(gw: Gateway, url: str, method: str, asked: bytes | None, stack: AsyncExitStack) -> File:
    """Begin to read an artifact from storage, broken off when `stack` closes. Raises UpstreamFailure."""
    try:
        target = gw.storage.read(url)
    except ValueError:
        raise UpstreamFailure.invalid("The artifact's URL does not lead to GMI's storage") from None
    return await gw.storage.fetch(target, method, asked, stack)


def _digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
