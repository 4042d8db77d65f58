"""The route of relayed uploads: a file comes in by a URL that is its own permission, as GMI's signed ones are."""

import re
from collections.abc import AsyncIterator

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller
from gateway.relay import find_upload, send_upload
from gateway.web.auth import identify
from gateway.web.call import Call
from gateway.web.respond import Reply

_LENGTH = re.compile(rb"[0-9]{1,18}")


async def admit_upload(call: Call) -> Caller:
    """Who asked for the upload whose token the path ends with. Refusal 404 without a difference for any other path.

    A client need not send a key, since it would send none to storage. One that sends another team's gets the 404.
    """
    call.upload = await find_upload(call.gw, call.identifier)
    if call.upload is None or not _is_theirs(call, call.upload.caller):
        raise _nothing_here()
    return call.upload.caller


def _is_theirs(call: Call, caller: Caller) -> bool:
    if not call.headers(b"authorization"):
        return True
    try:
        return identify(call.policy, call.headers(b"authorization")).team.name == caller.team.name
    except Refusal:
        return False


async def put_upload(call: Call) -> Reply:
    """`PUT /gateway/v1/uploads/{token}`: the file goes on to storage as it comes; back comes storage's answer."""
    assert call.upload is not None
    slot, most = call.upload.slot, call.caller.team.uploads.max_size
    _check_type(call, slot.content_type)
    length = _length_of(call, most)
    began = call.gw.ticks()
    answer = await send_upload(call.gw, slot, length, _bounded_body(call, most))
    call.upstream_seconds = call.gw.ticks() - began
    if answer is None:
        raise _nothing_here()
    return Reply(answer.status, answer.body, answer.headers)


def _nothing_here() -> Refusal:
    return Refusal(
        Code.UNKNOWN_ROUTE,
        "There is no upload to make here: its URL is wrong, used, or older than 15 minutes; POST …/upload-url again.",
        close=True,
    )


def _check_type(call: Call, signed: str) -> None:
    if call.headers(b"content-type") != [signed.encode()]:
        problem = f"Send the file with the type that was signed for it: `Content-Type: {signed}`."
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, problem, close=True)
    if any(coding.strip().lower() not in (b"", b"identity") for coding in call.headers(b"content-encoding")):
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the file without Content-Encoding, as it is.", close=True)


def _length_of(call: Call, most: int) -> int | None:
    """Bytes of the file; None if it comes in chunks. Refusal 413, before any of it is read, if they are too many."""
    declared = call.header(b"content-length")
    if declared is None:
        return None if call.headers(b"transfer-encoding") else 0
    if not _LENGTH.fullmatch(declared) or int(declared) > most:
        raise _too_large(most)
    return int(declared)


async def _bounded_body(call: Call, most: int) -> AsyncIterator[bytes]:
    """The file as it comes. Refusal, which breaks the upload off, past `most` bytes or if it ends short."""
    size, more = 0, True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise Refusal(Code.REQUEST_TIMEOUT, "The file did not arrive whole; send it again.", close=True)
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        if size > most:
            raise _too_large(most)
        yield part


def _too_large(most: int) -> Refusal:
    return Refusal(Code.BODY_TOO_LARGE, f"The file is larger than the {most} bytes your team may upload.", close=True)
