"""FLOW models as this team may see them.

Upstream's listing and details are cached per credential, for all its teams together; what a team may see is cut out
afterwards, by the same rule that admits creates. The ledger keeps the last of each, so that a gateway that restarts
while upstream is down still has a catalogue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from gateway.cache import Fetched, How, Served
from gateway.context import Gateway
from gateway.core.access import may_use
from gateway.core.detail import ModelDetail
from gateway.core.errors import Code, Refusal
from gateway.core.fields import etag_of
from gateway.core.freshness import MODELS, NEGATIVE
from gateway.core.headers import Headers
from gateway.core.policy import Caller, Team
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import Snapshot
from gateway.logs import log_event
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.upstream.translate import filter_models, model_detail, model_ids, record_head

DECISION_PATIENCE = 5.0
"""Seconds a create waits for a model's detail before it is decided without."""

V = TypeVar("V")


class Page(NamedTuple):
    """An answer about models. `etag` is strong, of these bytes; empty for an error of upstream's, which is not kept.

    `age` is in seconds since upstream gave it, `upstream_seconds` what the caller waited for upstream. `span` is
    the `traceparent` of the call that brought it, where that is recorded.
    """

    status: int
    headers: Headers
    body: bytes
    etag: bytes
    age: float
    how: How
    upstream_seconds: float
    span: str | None = None


@dataclass(frozen=True, slots=True)
class _View:
    """An answer as it may be shown, with the gateway's own entity tag instead of upstream's validators."""

    answer: Answer
    etag: bytes


@dataclass(frozen=True, slots=True)
class _Detail(_View):
    parsed: ModelDetail | None


@dataclass(frozen=True, slots=True)
class _Listing:
    answer: Answer
    ids: frozenset[str]
    views: dict[tuple[tuple[str, ...], tuple[str, ...]], _View] = field(default_factory=dict)

    def view_for(self, team: Team) -> _View:
        """The listing cut down to the team's models: done once for each set of rules, then a dictionary look-up."""
        view = self.views.get((team.allow, team.deny))
        if view is None:
            body = filter_models(self.answer.body, lambda model: may_use(team, model)[0])
            view = self.views[team.allow, team.deny] = _View(_without_validators(self.answer, body), etag_of(body))
        return view


class _Unusable(Exception):  # noqa: N818 - upstream's own error, passed on if nothing older will do
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


async def listing(gw: Gateway, caller: Caller) -> Page:
    """`GET …/models` for this caller. Raises UpstreamFailure when upstream is down and nothing is kept."""
    started = gw.ticks()
    try:
        served = await _listing(gw, caller.team.credential)
    except _Unusable as error:
        return _passed_on(error.answer, gw.ticks() - started)
    return _page(served, served.value.view_for(caller.team), gw.ticks() - started)


async def detail(gw: Gateway, caller: Caller, model: str) -> Page:
    """`GET …/models/{id}` for this caller: upstream's bytes.

    Raises Refusal for a model the caller may not use or upstream does not list, and UpstreamFailure.
    """
    allowed, reason = may_use(caller.team, model)
    if not allowed:
        raise Refusal(Code.MODEL_NOT_ALLOWED, reason)
    started = gw.ticks()
    try:
        if not await _is_listed(gw, caller.team.credential, model):
            raise Refusal(Code.MODEL_NOT_FOUND, f"Upstream lists no model {model}; GET …/models shows what there is.")
        served = await _detail(gw, caller.team.credential, model)
    except _Unusable as error:
        return _passed_on(error.answer, gw.ticks() - started)
    return _page(served, served.value, gw.ticks() - started)


async def detail_for_decision(gw: Gateway, caller: Caller, model: str) -> ModelDetail | None:
    """What is known of a model's parameters and price; None where that cannot be had now. Never raises for it.

    Upstream is not asked about a model the caller may not use.
    """
    if not may_use(caller.team, model)[0]:
        return None
    credential = caller.team.credential
    try:
        async with asyncio.timeout(DECISION_PATIENCE):
            if not await _is_listed(gw, credential, model):
                return None
            return (await _detail(gw, credential, model)).value.parsed
    except (UpstreamFailure, _Unusable, TimeoutError):
        if gw.undetailed.may_say((credential, model), gw.ticks()):
            log_event(logging.WARNING, "decided without the model's detail", model=model)
        return None


def is_on_offer(gw: Gateway, caller: Caller, model: str) -> bool:
    """Whether the caller may use the model and it is known: by its name in the policy, or from the kept listing.

    Nobody is asked, and no client can make such names up.
    """
    if not may_use(caller.team, model)[0]:
        return False
    kept = gw.catalogue.on_error(("models", caller.team.credential))
    return model in caller.team.allow or (kept is not None and model in kept.value.ids)


async def recall_listings(gw: Gateway) -> None:
    """Bring back from the ledger each listing that is not kept here, without asking upstream.

    Jobs that an earlier life or another gateway created are counted under their model's name then.
    """
    for credential in gw.policies.current.credentials:
        question = _about_models(gw, credential)
        kept = None if question.key in gw.catalogue else await _recall(gw, question)
        if kept is not None:
            gw.catalogue.bring(question.key, kept)


def snapshot_name(upstream_url: str, key: tuple[str, ...]) -> str:
    """Where the ledger keeps upstream's answer: `("models", credential)` or `("model", credential, model)`.

    It names the origin too, so that a ledger moved to another upstream does not bring the old one's prices.
    """
    return " ".join((key[0], upstream_url, *key[1:]))


async def _is_listed(gw: Gateway, credential: str, model: str) -> bool:
    """Whether upstream lists the model. That it does not is believed for 30 s, then the listing is asked for anew."""
    if model in (await _listing(gw, credential)).value.ids:
        return True
    return model in (await _listing(gw, credential, fresher_than=NEGATIVE.fresh)).value.ids


async def _listing(gw: Gateway, credential: str, fresher_than: float = float("inf")) -> Served[_Listing]:
    fresh = gw.catalogue.fresh(("models", credential))
    if fresh is not None and fresh.age < fresher_than:
        gw.metrics.cache_requests.note("models", How.HIT)
        return fresh
    return await _through_cache(gw, _about_models(gw, credential), fresher_than)


async def _detail(gw: Gateway, credential: str, model: str) -> Served[_Detail]:
    ask, read = partial(gw.upstream.get_model, credential, model), partial(_to_detail, gw, credential, model)
    return await _through_cache(gw, _Question(("model", credential, model), ask, read))


class _Question(NamedTuple, Generic[V]):
    """What is kept under `key`, whom to ask for it, and how an answer becomes the value that is kept."""

    key: tuple[str, ...]
    ask: Callable[[], Awaitable[Answer]]
    read: Callable[[Answer], V]


def _about_models(gw: Gateway, credential: str) -> _Question[_Listing]:
    return _Question(("models", credential), partial(gw.upstream.list_models, credential), _to_listing)


def _to_listing(answer: Answer) -> _Listing:
    if answer.status != 200:
        raise _Unusable(answer)
    return _Listing(answer, frozenset(model_ids(answer.body)))


def _to_detail(gw: Gateway, credential: str, model: str, answer: Answer) -> _Detail:
    """Raises UpstreamFailure for a job's record, which may be another team's, and for the detail of another model."""
    if answer.status == 404:
        return _Detail(_without_validators(answer, answer.body), b"", None)
    if answer.status != 200:
        raise _Unusable(answer)
    parsed, listing = model_detail(answer.body), gw.catalogue.on_error(("models", credential))
    others = frozenset() if listing is None else listing.value.ids - {model}
    if record_head(answer.body) is not None or (parsed is not None and parsed.model in others):
        raise UpstreamFailure.invalid("Upstream answered with something else than the model's detail")
    return _Detail(_without_validators(answer, answer.body), etag_of(answer.body), parsed)


def _without_validators(answer: Answer, body: bytes) -> Answer:
    headers = tuple(header for header in answer.headers if header[0] != b"last-modified")
    return msgspec.structs.replace(answer, headers=headers, body=body)


async def _through_cache(gw: Gateway, question: _Question[V], fresher_than: float = float("inf")) -> Served[V]:
    """The value: kept, fetched, or kept although it is old because upstream fails."""
    try:
        served = await gw.catalogue.get(question.key, partial(_fetch, gw, question), fresher_than=fresher_than)
    except (UpstreamFailure, _Unusable):
        stale = gw.catalogue.on_error(question.key)
        if stale is None:
            gw.metrics.cache_requests.note(question.key[0], How.MISS)
            raise
        served = stale
    gw.metrics.cache_requests.note(question.key[0], served.how)
    return served


async def _fetch(gw: Gateway, question: _Question[V]) -> Fetched[V]:
    """From upstream; right after a start from the ledger, if what it has could still be served without asking."""
    kept = None if question.key in gw.catalogue else await _recall(gw, question)
    if kept is not None and kept.age < MODELS.usable:
        return kept
    try:
        answer = await question.ask()
        fetched = _fetched(question, answer, age=0.0)
    except (UpstreamFailure, _Unusable):
        if kept is None or kept.age >= MODELS.on_error:
            raise
        return kept
    if answer.status == 200:
        gw.tasks.start(_keep(gw, question.key, answer), "keep the catalogue")
    return fetched


def _fetched(question: _Question[V], answer: Answer, age: float) -> Fetched[V]:
    rules = NEGATIVE if answer.status == 404 else MODELS
    return Fetched(question.read(answer), 2 * answer.size, rules, age)


async def _recall(gw: Gateway, question: _Question[V]) -> Fetched[V] | None:
    """What the ledger kept, unless it came from a simulator that is gone."""
    if gw.settings.simulate:
        return None
    try:
        kept = await gw.ledger.load_snapshot(snapshot_name(gw.settings.upstream_url, question.key))
        if kept is not None:
            return _fetched(question, Answer(200, kept.headers, kept.body), max(0.0, gw.now() - kept.fetched_at))
    except (LedgerUnavailable, UpstreamFailure):  # or a version that was less strict has kept it
        return None
    return None


async def _keep(gw: Gateway, key: tuple[str, ...], answer: Answer) -> None:
    if gw.settings.simulate:
        return
    try:
        kept = Snapshot(answer.headers, answer.body, gw.now())
        await gw.ledger.save_snapshot(snapshot_name(gw.settings.upstream_url, key), kept)
    except LedgerUnavailable:
        log_event(logging.WARNING, "catalogue not kept", name=" ".join(key))


def _page(served: Served[Any], view: _View, seconds: float) -> Page:
    return Page(
        view.answer.status,
        view.answer.headers,
        view.answer.body,
        view.etag,
        served.age,
        served.how,
        seconds if served.how in (How.MISS, How.COLLAPSED) else 0.0,
        view.answer.span,
    )


def _passed_on(answer: Answer, seconds: float) -> Page:
    """An error of upstream's own, untouched."""
    return Page(answer.status, answer.headers, answer.body, b"", 0.0, How.MISS, seconds)
