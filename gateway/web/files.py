"""The upload route: a presigned URL for one input file, under the team's policy."""

from functools import partial

from gateway.core.errors import Code, Refusal
from gateway.core.limits import upload_claims
from gateway.core.refusals import refusal_for
from gateway.core.wire import parse_upload
from gateway.settlement import insist
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.web.bodies import read_json_body
from gateway.web.call import Call
from gateway.web.respond import Reply

_LARGEST_BODY = 4096


async def upload_url(call: Call) -> Reply:
    """`POST …/upload-url`: the file type must be allowed and counted before upstream signs a URL for it."""
    body = await read_json_body(call, _LARGEST_BODY)
    file_type = parse_upload(body)
    allowed = call.caller.team.uploads.file_types
    if file_type not in allowed:
        raise Refusal(
            Code.FILE_TYPE_NOT_ALLOWED,
            f"This team may upload {', '.join(allowed) or 'no files'}; ask your platform team for other types.",
        )
    answer = await call.gw.tasks.shield(_counted_upload(call, body), "upload")
    if answer.status in (200, 201):
        call.gw.metrics.uploads(call.caller.team.name, file_type).inc()
    return Reply(answer.status, answer.body, answer.headers)


async def _counted_upload(call: Call, body: bytes) -> Answer:
    """Take the upload's counts, ask upstream, and give them back, now or as soon as the ledger takes it, if it refused."""
    gw, now = call.gw, call.gw.now()
    claims = upload_claims(call.caller, now)
    full = await gw.ledger.take(claims)
    if full is not None:
        raise refusal_for(full.claim, full.used, call.caller, now, call.request_id)
    try:
        answer = await gw.upstream.upload_url(call.caller.team.credential, body, call.trace)
    except UpstreamFailure:
        await insist(gw, partial(gw.ledger.give_back, claims))
        raise
    call.upstream_seconds = answer.elapsed
    if answer.status not in (200, 201):
        await insist(gw, partial(gw.ledger.give_back, claims))
    return answer
