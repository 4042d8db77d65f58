"""The artifact routes: what a finished job left, listed and sent through the gateway."""

import asyncio
import base64
import binascii
from functools import partial

from gateway import polling, relay
from gateway.core.artifacts import ANY_TYPE, Artifact, safe_type
from gateway.core.errors import Code, Refusal
from gateway.core.headers import Header, Headers
from gateway.core.lifecycle import Outcome, outcome_of
from gateway.core.ranges import bytes_asked, is_one_range
from gateway.upstream.client import UpstreamFailure
from gateway.upstream.translate import record_head
from gateway.web.bodies import LARGEST_PARSED_AT_ONCE
from gateway.web.call import Call
from gateway.web.conditional import told
from gateway.web.respond import Reply, Stream, json_reply

LONGEST_STREAM = 3600.0
"""Seconds after which an artifact that its client takes ever so slowly is broken off."""

_PRIVATE = (b"cache-control", b"private")
_PASSED_ON = ("content-length", "content-range", "last-modified")
_NO_FILE = (404, 410)


async def list_artifacts(call: Call) -> Reply:
    """`GET …/requests/{id}/artifacts`: names and types, and for each that can be had here the URL."""
    found = await _find(call)
    if isinstance(found, Reply):
        return found
    base = f"{relay.require_public_url(call.gw)}/gateway/v1/requests/{call.identifier}/artifacts/"
    entries = [{"name": each.name, "type": each.type, "url": base + each.name} for each in found]
    return json_reply({"artifacts": entries})


async def get_artifact(call: Call) -> Reply:
    """`GET …/requests/{id}/artifacts/{name}`: the file, or the one range of it that is asked for."""
    found = await _find(call)
    if isinstance(found, Reply):
        return found
    name = call.scope["raw_path"].rpartition(b"/")[2].decode("ascii")
    artifact = next((each for each in found if each.name == name), None)
    if artifact is None:
        listed = f"/gateway/v1/requests/{call.identifier}/artifacts"
        raise Refusal(Code.REQUEST_NOT_FOUND, f"The request has no artifact of this name; GET {listed} lists them.")
    del found
    return await _stored(call, artifact) if artifact.url else await _inline(call, artifact)


async def _find(call: Call) -> tuple[Artifact, ...] | Reply:
    """The artifacts of the caller's own job; upstream's answer if it is none, such as a 404 of its own.

    Refusal 404 for a team that does not relay, whosever the job is; for another's job as a poll; and for one that has
    not ended well.
    """
    gw = call.gw
    if not call.caller.team.uploads.relay:
        problem = "Files do not go through this gateway for your team: fetch them from the URLs in the job's record."
        raise Refusal(Code.UNKNOWN_ROUTE, problem)
    served = await polling.poll_anew(gw, call.caller, call.identifier)
    gw.metrics.cache_requests.note("jobs", served.how)
    if served.value.answer.status != 200:
        return told(call, served)
    head = record_head(served.value.answer.body)
    if head is None or outcome_of(head.status) is not Outcome.SUCCESS:
        problem = "The request has no artifacts: only one whose `status` is `success` has."
        raise Refusal(Code.REQUEST_NOT_FOUND, problem)
    return relay.artifacts_of(served.value.answer.body)


def _range_asked(call: Call) -> bytes | None:
    """The one range asked for. With `If-Range` the whole: nothing here tells whether the file is still the same."""
    fields = call.headers(b"range")
    if len(fields) != 1 or call.headers(b"if-range") or not is_one_range(fields[0]):
        return None
    return fields[0]


async def _stored(call: Call, artifact: Artifact) -> Reply:
    """What storage sends, as it comes and as the client takes it."""
    gw, began = call.gw, call.gw.ticks()
    file = await relay.fetch(gw, artifact.url, call.scope["method"], _range_asked(call), call.ends)
    call.upstream_seconds = gw.ticks() - began
    if file.status == 416:
        return _out_of_range(file.headers.get("content-range", "bytes */*").encode("latin-1"))
    if file.status in _NO_FILE:
        raise Refusal(Code.REQUEST_NOT_FOUND, "Storage does not have this artifact any more.")
    if file.status not in (200, 206):
        raise UpstreamFailure.invalid(f"Storage answered {file.status} to a request for an artifact")
    passed = [(name.encode(), file.headers[name].encode("latin-1")) for name in _PASSED_ON if name in file.headers]
    headers = (*_headers(artifact.name, file.headers.get("content-type", artifact.type)), *passed)
    return Reply(file.status, b"", headers, stream=Stream(file.parts, LONGEST_STREAM))


async def _inline(call: Call, artifact: Artifact) -> Reply:
    """A file that stands in the record itself."""
    decode = partial(base64.b64decode, artifact.data, validate=True)
    try:
        data = decode() if len(artifact.data) <= LARGEST_PARSED_AT_ONCE else await asyncio.to_thread(decode)
    except (binascii.Error, ValueError):
        raise UpstreamFailure.invalid("The artifact in upstream's record is not base64") from None
    headers, asked = _headers(artifact.name, artifact.type), _range_asked(call)
    if asked is None:
        return Reply(200, data, headers)
    span = bytes_asked(asked, len(data))
    if not span:
        return _out_of_range(b"bytes */%d" % len(data))
    where = b"bytes %d-%d/%d" % (span.start, span.stop - 1, len(data))
    return Reply(206, data[span.start : span.stop], (*headers, (b"content-range", where)))


def _out_of_range(where: bytes) -> Reply:
    """416 (RFC 9110 §15.5.17)."""
    return Reply(416, b"", ((b"content-range", where), (b"accept-ranges", b"bytes"), _PRIVATE))


def _headers(name: str, media_type: str) -> Headers:
    """What is said of every file. One that a browser might run is stored, not shown, whatever it is said to be."""
    plain = safe_type(media_type)
    shown = b"attachment" if plain == ANY_TYPE else b"inline"
    headers: list[Header] = [
        (b"content-type", plain.encode()),
        (b"content-disposition", b'%s; filename="%s"' % (shown, name.encode())),
        (b"x-content-type-options", b"nosniff"),
        (b"accept-ranges", b"bytes"),
        _PRIVATE,
    ]
    return tuple(headers)
