"""The upload route: a presigned URL for one input file, under the team's policy."""

from gateway import uploads
from gateway.core.errors import Code, Refusal
from gateway.core.lifecycle import ACCEPTED
from gateway.core.wire import parse_upload
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
    answer, used = await uploads.request_upload(call.gw, call.caller, file_type, body, call.trace)
    call.show_limits(used)
    call.upstream_seconds = answer.elapsed
    if answer.status in ACCEPTED:
        call.gw.metrics.uploads(call.caller.team.name, file_type).inc()
    return Reply(answer.status, answer.body, answer.headers)
