"""Webhooks as values: what is sent, how it is signed (Standard Webhooks 1.0.0), and when it is tried again."""

import base64
import binascii
import hashlib
import hmac
import json
import re
from enum import StrEnum

from gateway.core.wording import rfc3339

PREFIX = "whsec_"
"""What a secret begins with that is written in base64."""

TRIED_FOR = 24 * 3600.0
"""Seconds after which a delivery that nobody took is given up."""

_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 3600.0
_SPREAD = 0.2
_GONE = 410
_TRY_LATER = (429, 503)

LONGEST_WAIT = _LONGEST_PAUSE * (1 + _SPREAD)
"""Seconds between two attempts at most."""


class Standing(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """What it reports has not happened yet."""
    DUE = "due"
    """It is tried, and tried again, until the receiver takes it."""
    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    FAILED = "failed"
    """It was given up."""


class Result(StrEnum):
    """What came of one attempt."""

    DELIVERED = "delivered"
    """The receiver answered 2xx."""
    REFUSED = "refused"
    """The receiver answered something else, and is asked again."""
    FAILED = "failed"
    """There was no answer, and it is tried again."""
    GIVEN_UP = "given_up"
    """It came to nothing, whichever way, and was the last."""


def result_of(standing: Standing, status: int | None) -> Result:
    """What came of an attempt after which a delivery stands so, and that brought this HTTP status, or None."""
    if standing is Standing.DELIVERED:
        return Result.DELIVERED
    if standing is Standing.FAILED:
        return Result.GIVEN_UP
    return Result.FAILED if status is None else Result.REFUSED


def signing_key(secret: str) -> bytes:
    """The key that a secret stands for: base64 after `whsec_`, else the text's own bytes. ValueError if it is none."""
    if not secret.startswith(PREFIX):
        key = secret.encode()
    else:
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError(f"is no base64 after `{PREFIX}`") from None
    if not key:
        raise ValueError("is empty")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: HMAC-SHA256 over id, time and body."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def message(kind: str, happened_at: float, data: bytes) -> bytes:
    """The body: the kind of event, such as `request.success`, when it happened, and `data`, JSON, as it is."""
    head = json.dumps({"type": kind, "timestamp": rfc3339(happened_at)}, separators=(",", ":"))
    return b'%s,"data":%s}' % (head[:-1].encode(), data.strip())


def is_taken(status: int) -> bool:
    """Whether the receiver has it. A redirect is a failure: it may lead anywhere."""
    return 200 <= status < 300


def asked_pause(status: int, retry_after: str) -> float:
    """Seconds a receiver wants to be left alone for (RFC 9110 §10.2.3), at most an hour; 0 if it says no number."""
    if status not in _TRY_LATER or not re.fullmatch(r"[0-9]+", retry_after.strip()):
        return 0.0
    return min(_LONGEST_PAUSE, float(retry_after))


def next_attempt(
    attempts: int, since: float, now: float, luck: float, status: int | None = None, asked: float = 0.0
) -> float | None:
    """When to try again after so many attempts that came to nothing; None to give up.

    Pauses double from five seconds to an hour. `luck`, from 0 to 1, spreads them by a fifth up and down. None is
    shorter than the receiver `asked` for. `since` is when it became due. A receiver that answered 410 wants no more.
    """
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (min(attempts, 20) - 1)) * (1 - _SPREAD + 2 * _SPREAD * luck)
    pause = max(pause, asked)
    return None if status == _GONE or now + pause > since + TRIED_FOR else now + pause
