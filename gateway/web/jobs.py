"""The job routes: create, poll, list, delete."""

import re
import secrets
from urllib.parse import parse_qsl

from gateway import admission, catalogue, polling, settlement
from gateway.cache import How
from gateway.core.access import is_model_id
from gateway.core.errors import Code, Refusal
from gateway.core.headers import JSON
from gateway.core.limits import limit_states
from gateway.web.bodies import read_draft
from gateway.web.call import Call
from gateway.web.conditional import conditional_reply
from gateway.web.query import read_number
from gateway.web.respond import Reply

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
_LARGEST_OFFSET = 10_000_000
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


async def create(call: Call) -> Reply:
    """`POST …/requests`: admission, then upstream's bytes."""
    gw = call.gw
    draft = await read_draft(call)
    key = _idempotency_key(call)
    call.model = draft.model if is_model_id(draft.model) else ""
    detail = await catalogue.detail_for_decision(gw, call.caller, draft.model)
    order = admission.Order(
        caller=call.caller,
        policy=call.policy,
        draft=draft,
        detail=detail,
        reservation_id=secrets.token_hex(16),
        idempotency_key=key,
        trace=call.trace,
        on_decided=call.note_decision,
        on_placed=call.note_job,
    )
    created = await admission.create(gw, order)
    call.upstream_seconds, call.replayed = created.upstream_seconds, created.replayed
    call.limits_shown += [
        state for state in limit_states(call.caller, created.used, gw.now()) if state.counter in created.used
    ]
    reply = Reply(created.answer.status, created.answer.body, created.answer.headers)
    return reply.adding((b"idempotency-replayed", b"true")) if created.replayed else reply


def _idempotency_key(call: Call) -> str | None:
    """`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible characters, as they are."""
    values = call.headers(b"idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not _IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise Refusal(Code.INVALID_REQUEST, "Send one Idempotency-Key of 1 to 255 visible ASCII characters.")
    return values[0].decode("ascii")


async def poll(call: Call) -> Reply:
    """`GET …/requests/{id}`: the team's own job, from memory or through one shared call."""
    gw = call.gw
    started = gw.ticks()
    served = await polling.poll(gw, call.caller, call.identifier)
    if served.how in (How.MISS, How.COLLAPSED):
        call.upstream_seconds = gw.ticks() - started
    gw.metrics.cache_requests("jobs", served.how).inc()
    seen, answer = served.value, served.value.answer
    return conditional_reply(call, Reply(answer.status, answer.body, answer.headers), seen.etag, served.age, served.how)


async def list_own(call: Call) -> Reply:
    """`GET …/requests`: the team's own jobs, newest first, from the ledger's last seen records."""
    model, limit, offset = _page(call.scope["query_string"])
    jobs, total = await call.gw.ledger.list_jobs(call.caller.team.name, model, limit, offset)
    more = b"true" if offset + len(jobs) < total else b"false"
    records = b",".join(job.record.strip() for job in jobs if job.record is not None)
    body = b'{"requests":[%s],"has_more":%s,"total":%d}' % (records, more, total)
    return Reply(200, body, (JSON, (b"cache-control", b"private, no-store")))


def _page(query: bytes) -> tuple[str | None, int, int]:
    """`model_id`, `limit`, `offset`, each at most once and valid; other parameters mean nothing here."""
    pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="surrogateescape")
    known = [(name, value) for name, value in pairs if name in ("model_id", "limit", "offset")]
    values = dict(known)
    if len(values) != len(known):
        raise Refusal(Code.INVALID_REQUEST, "`model_id`, `limit` and `offset` may each stand once.")
    model = values.get("model_id")
    if model is not None and not is_model_id(model):
        raise Refusal(Code.INVALID_REQUEST, "`model_id` must be the id of a model.")
    limit = read_number(values, "limit", DEFAULT_PAGE, 1, LARGEST_PAGE)
    offset = read_number(values, "offset", 0, 0, _LARGEST_OFFSET)
    return model, limit, offset


async def delete(call: Call) -> Reply:
    """`DELETE …/requests/{id}`: the team's own, passed through; a job it ended is settled at once."""
    gw = call.gw
    owner = await polling.own(gw, call.caller, call.identifier)
    answer = await gw.tasks.shield(gw.upstream.delete_request(owner.credential, call.identifier), "delete")
    call.upstream_seconds = answer.elapsed
    gw.jobs.forget(call.identifier)
    if answer.status < 300 and owner.outcome is None:
        gw.tasks.start(settlement.look(gw, call.identifier, owner), "look after delete")
    return Reply(answer.status, answer.body, answer.headers)
