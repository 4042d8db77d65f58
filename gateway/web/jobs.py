"""The job routes: create, poll, list, delete."""

import asyncio
import re
from contextlib import aclosing, suppress
from urllib.parse import parse_qsl

from gateway import admission, catalogue, polling, settlement
from gateway.cache import How, Served
from gateway.core.access import is_model_id
from gateway.core.addresses import Target, read_target
from gateway.core.errors import Code, Refusal
from gateway.core.headers import JSON
from gateway.core.lifecycle import ACCEPTED, outcome_of
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import new_reservation_id
from gateway.looks import Seen
from gateway.orders import Created, Order, is_repeatable
from gateway.upstream.client import UpstreamFailure
from gateway.upstream.translate import record_head
from gateway.waits import Wait
from gateway.web.bodies import digest_body, read_draft
from gateway.web.call import Call
from gateway.web.conditional import told, unchanged
from gateway.web.query import read_limit, read_offset
from gateway.web.respond import Reply
from gateway.web.spans import link_shared
from gateway.web.waiting import applied, begin_wait, check_key_again, end_with_client, seconds_asked, tell_limits_of_now

_LAST_LOOK = 0.4
"""Seconds a client whose wait is over still waits for upstream, so as not to be told a record older than a second."""

_FIRST_WORD = 1.0
"""Seconds it waits where nothing else can be told of the job but an error, and the gateway is not about to go."""

# A member read through its class costs as much as a call; these are read for every poll.
_COLLAPSED = How.COLLAPSED
_ASKED = (How.MISS, How.COLLAPSED)

_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


async def create(call: Call) -> Reply:
    """`POST …/requests`: admission, then upstream's bytes, or the finished record for those who wait for it."""
    order = await _read_order(call)
    seconds = seconds_asked(call)
    wait = _preferred_wait(call, seconds) if seconds is not None else None
    created = await admission.create(call.gw, order, wait)
    del order  # and with it the body, which nobody needs while the job runs
    if wait is not None and wait.is_over and created.answer.status == 429:
        check_key_again(call)  # it stood in line, perhaps for as long as the key was good
    reply = await _answer(call, created, wait)
    return applied(reply, seconds) if wait is not None and seconds is not None else reply


async def _read_order(call: Call) -> Order:
    draft = await read_draft(call)
    key = _idempotency_key(call)
    digest = await digest_body(draft.body) if is_repeatable(call.caller.team, key) else b""
    webhook = _webhook(call)
    call.model = draft.model if is_model_id(draft.model) else ""
    detail = await catalogue.detail_for_decision(call.gw, call.caller, draft.model)
    return Order(
        caller=call.caller,
        policy=call.policy,
        draft=draft,
        detail=detail,
        reservation_id=new_reservation_id(call.gw.now()),
        idempotency_key=key,
        body_digest=digest,
        trace=call.trace,
        on_decided=call.note_decision,
        on_placed=call.note_job,
        webhook=webhook,
    )


def _preferred_wait(call: Call, seconds: int) -> Wait | None:
    """The wait that the client asked for; None if there is no place to wait in.

    A create is too dear to be refused for that: it is answered as one whose client did not ask to wait.
    """
    try:
        wait = begin_wait(call, seconds)
    except Refusal:
        return None
    end_with_client(call, wait)
    return wait


async def _answer(call: Call, created: Created, wait: Wait | None) -> Reply:
    """Upstream's answer to the create; if the job ends while the client waits, its record instead."""
    call.let_go()
    call.show_limits(created.used)
    reply = Reply(created.answer.status, created.answer.body, created.answer.headers)
    call.upstream_seconds, call.replayed = created.upstream_seconds, created.replayed
    if wait is not None:
        reply = await _finished(call, reply, wait) or reply
        call.upstream_seconds += wait.waited
        tell_limits_of_now(call)
    return reply.adding((b"idempotency-replayed", b"true")) if created.replayed else reply


async def _finished(call: Call, reply: Reply, wait: Wait) -> Reply | None:
    """The record of the job that this reply names, once it has ended; None if that is not to be had in time."""
    gw = call.gw
    head = record_head(reply.body) if reply.status in ACCEPTED else None
    if head is None or (head.is_full and outcome_of(head.status) is not None):
        return None
    with suppress(LedgerUnavailable, Refusal):
        owner = await polling.own(gw, call.caller, head.request_id)
        async with aclosing(polling.watch(gw, head.request_id, owner, b"", wait)) as sights:
            async for served in sights:
                if served is not None and served.value.terminal:
                    answer = served.value.answer
                    call.hold(len(answer.body))
                    return Reply(answer.status, answer.body, answer.headers)
                del served
    return None


def _idempotency_key(call: Call) -> str | None:
    """`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): 1 to 255 visible characters, as they are."""
    values = call.headers(b"idempotency-key")
    if not values:
        return None
    if len(values) > 1 or not _IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise Refusal(Code.INVALID_REQUEST, "Send one Idempotency-Key of 1 to 255 visible ASCII characters.")
    return values[0].decode("ascii")


def _webhook(call: Call) -> Target | None:
    """`X-Gateway-Webhook`: where the job's end is to be told. Refusal 400 unless the team's policy allows it."""
    values = call.headers(b"x-gateway-webhook")
    if not values:
        return None
    webhooks = call.caller.team.webhooks
    if webhooks is None:
        problem = "This team may not use X-Gateway-Webhook; ask your platform team to list `webhooks` in its policy."
        raise Refusal(Code.INVALID_REQUEST, problem)
    if len(values) > 1:
        raise Refusal(Code.INVALID_REQUEST, "Send one X-Gateway-Webhook header with one URL.")
    try:
        return read_target(values[0].decode("latin-1"), webhooks.hosts)
    except ValueError as error:
        raise Refusal(Code.INVALID_REQUEST, f"The URL in X-Gateway-Webhook {error}.") from None


async def poll(call: Call) -> Reply:
    """`GET …/requests/{id}`: the team's own job, from memory or through one shared call; at its end, if asked so."""
    gw, started = call.gw, call.gw.ticks()
    seconds = seconds_asked(call)
    if seconds is None:
        return told(call, _counted(call, await polling.poll(gw, call.caller, call.identifier), started))
    wait = await _wait_unless_ended(call, seconds)
    started = gw.ticks()
    if wait is None:
        served = _counted(call, await polling.poll(gw, call.caller, call.identifier), started)
    else:
        served = await _await_news(call, wait)
        call.upstream_seconds = gw.ticks() - started
        tell_limits_of_now(call)
    return applied(told(call, served), seconds)


def _counted(call: Call, served: Served[Seen], started: float) -> Served[Seen]:
    """The record as a poll that `started` then gives it, counted."""
    gw = call.gw
    if served.how in _ASKED:
        call.upstream_seconds = gw.ticks() - started
    if served.how is _COLLAPSED:
        link_shared(call, served.value.answer.span)
    gw.metrics.cache_requests.note("jobs", served.how)
    return served


async def _wait_unless_ended(call: Call, seconds: int) -> Wait | None:
    """A wait for the caller's own job; None if that is known to have ended.

    It is begun before upstream is asked, so that more than may wait are refused at once.
    """
    await polling.own(call.gw, call.caller, call.identifier)
    seen = call.gw.jobs.seen(call.identifier)
    if seen is not None and seen.terminal:
        return None
    wait = begin_wait(call, seconds)
    end_with_client(call, wait)
    return wait


def _is_awaited(call: Call, seen: Seen) -> bool:
    """Whether a client that waits is told this: the end, an error that lasts, or what it said it does not have."""
    known = call.headers(b"if-none-match")
    return seen.terminal or not seen.etag or (bool(known) and not unchanged(known, seen.etag))


async def _await_news(call: Call, wait: Wait) -> Served[Seen]:
    """What the client waits for, or when the wait is over the record as it is then.

    The first look is no exception: however long upstream takes for it, what ends the wait is heeded, and a trouble that
    may pass is waited out as it is later on.
    """
    gw, started = call.gw, call.gw.ticks()
    look = await polling.first_look(gw, call.caller, call.identifier, wait)
    if look.done() and not wait.is_over and polling.is_passing_trouble(look):
        del look  # those who wait keep no answer in memory
        return await _await_change(call, b"", wait)
    served = _counted(call, look.result() if look.done() else await _last_look(call, look), started)
    if wait.is_over or _is_awaited(call, served.value):
        return served
    etag = served.value.etag
    del served, look  # those who wait keep no record in memory
    return await _await_change(call, etag, wait)


async def _await_change(call: Call, etag: bytes, wait: Wait) -> Served[Seen]:
    """What the client waits for, when the record is no longer the one tagged `etag`."""
    gw, request_id = call.gw, call.identifier
    owner = await polling.own(gw, call.caller, request_id)
    async with aclosing(polling.watch(gw, request_id, owner, etag, wait)) as sights:
        async for served in sights:
            if served is not None and _is_awaited(call, served.value):
                return served
            del served
    return await _last_look(call)


async def _last_look(call: Call, look: "asyncio.Task[Served[Seen]] | None" = None) -> Served[Seen]:
    """The record for one whose wait is over: the one that `look` brings soon, or else the last one seen.

    Raises UpstreamFailure where neither is to be had.

    It is a call like any other from now on, and another one may wait in its place.
    """
    gw, request_id = call.gw, call.identifier
    was_ended = call.wait is not None and call.wait.ended.done()
    if call.wait is not None:
        gw.waits.leave(call.wait)
    check_key_again(call)
    look = look or gw.tasks.start(polling.poll(gw, call.caller, request_id), "last look")
    in_haste = was_ended or polling.last_seen(gw, request_id) is not None
    await asyncio.wait((look,), timeout=_LAST_LOOK if in_haste else _FIRST_WORD)
    if look.done() and not polling.is_passing_trouble(look):
        return look.result()
    lately = polling.last_seen(gw, request_id, How.STALE_ERROR if look.done() else How.STALE)
    if lately is not None:
        return lately
    if not look.done():
        raise UpstreamFailure.timed_out()
    return look.result()


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
    return model, read_limit(values), read_offset(values)


async def delete(call: Call) -> Reply:
    """`DELETE …/requests/{id}`: the team's own, passed through; a job it ended is settled at once.

    One that had ended before goes on being shown as it ended.
    """
    gw = call.gw
    owner = await polling.own(gw, call.caller, call.identifier)
    answer = await gw.upstream.delete_request(owner.credential, call.identifier, call.trace, owner.team)
    call.upstream_seconds = answer.elapsed
    owner = gw.jobs.owner(call.identifier, gw.ticks()) or owner  # who may have been told of its end meanwhile
    if owner.outcome is None:
        gw.jobs.outdate(call.identifier, gw.ticks())
        if answer.status < 300:
            gw.tasks.start(settlement.look(gw, call.identifier, owner), "look after delete")
    return Reply(answer.status, answer.body, answer.headers)
