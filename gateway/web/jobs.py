"""The job routes: create, poll, list, delete (CONTRACT §2)."""

import re
import secrets
from urllib.parse import parse_qsl

from gateway import admission, catalogue, polling, settlement
from gateway.core.access import is_model_id
from gateway.core.errors import Code, Refusal
from gateway.core.limits import limit_states
from gateway.core.wire import parse_create
from gateway.web.bodies import read_json_body
from gateway.web.call import Call
from gateway.web.conditional import unchanged
from gateway.web.respond import Reply

DEFAULT_PAGE = 50
LARGEST_PAGE = 200
_LARGEST_OFFSET = 10_000_000
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_JSON = (b"content-type", b"application/json")
_PRIVATE = (b"cache-control", b"private, no-cache")


async def create(call: Call) -> Reply:
    """`POST …/requests`: admission, then upstream's bytes."""
    gw = call.gw
    body = await read_json_body(call, gw.settings.max_body)
    key = _idempotency_key(call)
    draft = parse_create(body)
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
    )
    created = await admission.create(gw, order)
    call.upstream_seconds = created.upstream_seconds
    call.limits_shown += [
        state for state in limit_states(call.caller, created.used, gw.now()) if state.counter in created.used
    ]
    reply = Reply(created.answer.status, created.answer.body, created.answer.headers)
    return reply.adding((b"idempotency-replayed", b"true")) if created.replayed else reply


def _idempotency_key(call: Call) -> str | None:
    """The draft standard's header as CONTRACT §4 takes it: 1 to 255 visible characters."""
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
    watched = await polling.poll(gw, call.caller, call.identifier)
    if watched.served in _WAITED:
        call.upstream_seconds = gw.ticks() - started
    gw.metrics.cache_requests("jobs", watched.served.value).inc()
    seen = watched.seen
    status = (b"cache-status", _CACHE_STATUS[watched.served])
    if not seen.etag:
        return Reply(seen.answer.status, seen.answer.body, (*seen.answer.headers, status))
    headers = (_PRIVATE, (b"etag", seen.etag), (b"age", b"%d" % watched.age), status)
    if unchanged(call.headers(b"if-none-match"), seen.etag):
        return Reply(304, b"", headers)
    return Reply(seen.answer.status, seen.answer.body, seen.answer.headers + headers)


_WAITED = (polling.Served.MISS, polling.Served.COLLAPSED)
_CACHE_STATUS = {
    polling.Served.HIT: b"gmi-gateway; hit",
    polling.Served.MISS: b"gmi-gateway; fwd=miss",
    polling.Served.COLLAPSED: b"gmi-gateway; fwd=miss; collapsed",
    polling.Served.STALE: b"gmi-gateway; hit; detail=stale-error",
}


async def list_own(call: Call) -> Reply:
    """`GET …/requests`: the team's own jobs, newest first, from the ledger's last seen records."""
    model, limit, offset = _page(call.scope["query_string"])
    jobs, total = await call.gw.ledger.list_jobs(call.caller.team.name, model, limit, offset)
    more = b"true" if offset + len(jobs) < total else b"false"
    records = b",".join(job.record.strip() for job in jobs if job.record is not None)
    body = b'{"requests":[%s],"has_more":%s,"total":%d}' % (records, more, total)
    return Reply(200, body, (_JSON, (b"cache-control", b"private, no-store")))


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
    limit = _number(values, "limit", DEFAULT_PAGE, 1, LARGEST_PAGE)
    offset = _number(values, "offset", 0, 0, _LARGEST_OFFSET)
    return model, limit, offset


def _number(values: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    text = values.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise Refusal(Code.INVALID_REQUEST, f"`{name}` must be a whole number from {least} to {most}.")
    return int(text)


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
