"""Calls to upstream: each bounded in time and bytes, counted, and never guessed about.

A read ends with the task of whoever asks, and is asked once more where that can help. A create, a delete or an upload
runs to its end whoever waits, and is sent once, unless upstream refused the key it came with, which is the one answer
that proves nothing was done.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx
import msgspec

from gateway.core.errors import Code
from gateway.core.retry import UNAVAILABLE, RetryBudget, pause, reason_to_repeat
from gateway.telemetry import NO_SPAN, NO_TRACES, Metrics, Traces
from gateway.upstream import request
from gateway.upstream.answer import Answer, headers_to_pass_on, read_body, require_no_secret, require_result, whole_body
from gateway.upstream.circuits import Circuits
from gateway.upstream.credentials import Access, Credentials, Secret
from gateway.upstream.deadline import Deadline, Deadlines
from gateway.upstream.failures import Sent, UpstreamFailure, failure_of, reason_of
from gateway.upstream.intake import Reading
from gateway.upstream.keys import Keys
from gateway.upstream.outgoing import with_body
from gateway.upstream.reply import Stage
from gateway.upstream.request import Operation, Question, Trace
from gateway.upstream.spans import begin_span, end_span
from gateway.upstream.transport import CONNECT_TIMEOUT, Transport, origin_of
from gateway.upstream.under_way import Limits, UnderWay

__all__ = ["Answer", "Limits", "Sent", "Trace", "Upstream", "UpstreamFailure"]

# A member read through its class costs as much as a call; these are read for every call.
_CREATE, _DELETE = Operation.CREATE_REQUEST, Operation.DELETE_REQUEST
_NEVER, _MAYBE = Sent.NEVER, Sent.MAYBE
_HEAD = Stage.HEAD

Asking = Coroutine[Any, Any, Answer]
"""A call to upstream that is made when it is awaited. A read too many is refused before."""

_REFUSED_KEY = (401, 403)
_READS_SHARE = 0.9


class _Call(msgspec.Struct):
    """A question being asked; `began` by the client's own clock. `sent` is how far it got if time runs out.

    Of a probe it does not matter what upstream answers, as long as it does.
    """

    credential: str
    access: Access
    question: Question
    began: float
    sent: Sent = _NEVER
    is_probe: bool = False
    deadline: Deadline | None = None
    reading: Reading | None = None

    @property
    def waits_for_room(self) -> bool:
        """Whether upstream's answer is there, and our memory what it waits for."""
        return self.reading is not None and self.reading.waits


class Upstream:
    """GMI's API at one origin. Every method raises UpstreamFailure, never an exception of a library.

    `credential` names a credential of the policy in force; each has a circuit of its own among `circuits`, and `keys`
    says whose are refused. Answers of 4xx and 5xx are answers, not failures, except 401 and 403, which are about the
    gateway's own key.
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        credentials: Credentials,
        metrics: Metrics,
        limits: Limits,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = origin_of(httpx.URL(url))
        self._host = httpx.URL(url).netloc.decode("ascii")
        self._transport = transport
        self._credentials = credentials
        self._metrics = metrics
        self._ticks = ticks
        self.circuits = Circuits(metrics)
        self._budget = RetryBudget()
        self.keys = Keys(metrics)
        self._deadlines = Deadlines(limits.timeout)
        self._create_deadlines = Deadlines(limits.create_timeout)
        self._under_way = UnderWay(limits)
        self.traces: Traces = NO_TRACES

    @property
    def in_flight(self) -> int:
        """Calls under way, also those nobody waits for any more."""
        return len(self._under_way)

    def list_models(self, credential: str) -> Asking:
        """`GET …/models`."""
        return self._call(credential, request.list_models())

    def get_model(self, credential: str, model: str) -> Asking:
        """`GET …/models/{id}`. Raises ValueError for what can be no id."""
        return self._call(credential, request.get_model(model))

    def create_request(self, credential: str, body: bytes, trace: Trace | None = None, team: str = "") -> Asking:
        """`POST …/requests` with the client's bytes."""
        return self._run_to_its_end(credential, request.create_request(body, trace, team))

    def get_request(self, credential: str, request_id: str, team: str = "") -> Asking:
        """`GET …/requests/{id}`. Raises ValueError for what can be no id."""
        return self._call(credential, request.get_request(request_id, team))

    def list_requests(self, credential: str, model: str | None, limit: int, offset: int) -> Asking:
        """`GET …/requests`: the whole organisation's, so never passed on to a client."""
        return self._call(credential, request.list_requests(model, limit, offset))

    def delete_request(self, credential: str, request_id: str, trace: Trace | None = None, team: str = "") -> Asking:
        """`DELETE …/requests/{id}`. Raises ValueError for what can be no id."""
        return self._run_to_its_end(credential, request.delete_request(request_id, trace, team))

    def upload_url(self, credential: str, body: bytes, trace: Trace | None = None, team: str = "") -> Asking:
        """`POST …/upload-url` with the client's bytes."""
        return self._run_to_its_end(credential, request.upload_url(body, trace, team))

    async def close(self) -> None:
        """Break off what is under way and close every connection."""
        await self._under_way.break_off()
        await self._transport.aclose()
        self._deadlines.close()
        self._create_deadlines.close()

    async def _run_to_its_end(self, credential: str, question: Question) -> Answer:
        """Make a call that changes something: it goes on when the one who waits is cancelled."""
        self._under_way.check(1)
        return await self._under_way.run_to_its_end(self._call(credential, question), question.operation)

    def _call(self, credential: str, question: Question) -> Asking:
        if question.repeatable:
            self._under_way.check(_READS_SHARE)
        access = self._credentials.access(credential)
        if not access.keys:
            self.keys.refuse(credential)
            self.keys.say_missing(credential, self._ticks())
            message = "The gateway has no key for upstream at present; your platform team has to give it one."
            raise UpstreamFailure(Sent.NEVER, Code.UPSTREAM_CREDENTIALS_REJECTED, message)
        call = _Call(credential, access, question, self._ticks())
        is_bound = self.circuits.of(credential).binds(question.team)
        return self._past_circuit(call) if is_bound else self._watched(call)

    async def _past_circuit(self, call: _Call) -> Answer:
        """Make a call if it may go out. After an outage a read goes first: a create could take minutes to tell."""
        self.circuits.admit(call.credential, self._ticks())
        if not call.question.repeatable:
            listing = request.list_models(call.question.team)
            probe = _Call(call.credential, call.access, listing, self._ticks(), is_probe=True)
            try:
                shown = await self._watched(probe)
            except UpstreamFailure as failure:
                raise UpstreamFailure(Sent.NEVER, failure.code, failure.message, failure.retry_after) from failure
            if shown.status in UNAVAILABLE:
                raise self.circuits.is_open(call.credential, self._ticks())
        call.began = self._ticks()
        return await self._watched(call)

    async def _watched(self, call: _Call) -> Answer:
        """Make the call within its time, and tell the credential's circuit what it showed of upstream."""
        is_read, keys = call.question.repeatable, self.keys.in_order(call.credential, call.access.keys)
        works: bool | None = False
        deadlines = self._create_deadlines if call.question.operation is _CREATE else self._deadlines
        deadline = call.deadline = deadlines.begin()
        self._under_way.reads += is_read
        try:
            self._budget.note_call()
            outcome = await self._exchange(call, keys[0])
            if isinstance(outcome, UpstreamFailure) or outcome.status in _REFUSED_KEY or outcome.status >= 500:
                outcome = await self._try_on(call, keys, outcome)
            elif len(keys) > 1 or self.keys.any_refused:
                self.keys.take(call.credential, keys[0])
            # A 500 is upstream's word on one question, which a team could repeat until all were refused. A create's 503
            # may be about one model's capacity: it shows neither that upstream works nor that it fails.
            works = True
            if outcome.status in UNAVAILABLE:
                works = False if is_read else None
        except asyncio.CancelledError as error:
            if not deadline.passed:
                works = None  # whoever asked went away, which shows nothing of upstream
                raise
            works = None if call.waits_for_room else False
            raise UpstreamFailure.timed_out(call.sent) from error
        except UpstreamFailure as failure:
            works = failure.sent is Sent.ANSWERED
            raise
        finally:
            self._under_way.reads -= is_read
            deadlines.end(deadline)
            if works is not None:
                self.circuits.note(call.credential, call.question.team, call.began, self._ticks(), works=works)
        if outcome.status < 300 and call.question.operation is not _DELETE and not call.is_probe:
            require_result(outcome, call.question.operation)
        return outcome

    async def _try_on(self, call: _Call, keys: Sequence[Secret], outcome: "Answer | UpstreamFailure") -> Answer:
        """The answer in place of a first outcome that may not stand: asked once more, then with the other keys.

        A refused key proves that nothing was done.
        """
        status = 0
        for key in keys:
            if key is not keys[0]:
                self._budget.note_call()
                outcome = await self._exchange(call, key)
            outcome = await self._ask_again(call, key, outcome)
            if isinstance(outcome, UpstreamFailure):
                raise outcome
            if outcome.status not in _REFUSED_KEY:
                self.keys.take(call.credential, key)
                return outcome
            status = outcome.status
            self.keys.say_refused(call.credential, status, self._ticks())
        self.keys.refuse(call.credential)
        raise UpstreamFailure.refused(status)

    async def _ask_again(
        self, call: _Call, key: Secret, outcome: "Answer | UpstreamFailure"
    ) -> "Answer | UpstreamFailure":
        """What the second try of a read comes to; the outcome of the first where there is none to be made.

        A probe is not tried again: one call shows whether upstream works.
        """
        if isinstance(outcome, UpstreamFailure):
            reason = reason_of(outcome)
        else:
            reason = reason_to_repeat(outcome.status, outcome.content_type)
        if reason is None or not call.question.repeatable:
            return outcome
        if self.circuits.of(call.credential).binds(call.question.team) or not self._budget.take():
            return outcome
        self._metrics.upstream_retries(call.question.operation, reason).inc()
        await asyncio.sleep(pause(secrets.randbelow(1000) / 1000))
        return await self._exchange(call, key)

    async def _exchange(self, call: _Call, key: Secret) -> "Answer | UpstreamFailure":
        """Send the request once and read the whole answer. A failure is returned: it may not be the last word."""
        question, origin, started, code = call.question, self._origin, self._ticks(), "cancelled"
        span = begin_span(self.traces, origin, question) if self.traces.on else NO_SPAN
        try:
            head = request.head_of(question, self._host, key, call.access, span.context)
            connection = self._transport.take(origin) or await self._transport.connect(origin, CONNECT_TIMEOUT)
            call.sent = _MAYBE
            if question.body is None:
                reply = connection.begin(head, patient=question.repeatable and self._under_way.reads > 1)
            else:
                reply = await connection.ask(with_body(head, question.body))
            try:
                while reply.stage is _HEAD:
                    await reply.more()
                reply.raise_failure()
                body = whole_body(reply)
                if body is None:
                    call.reading = Reading(may_wait=not question.repeatable)
                    body = await read_body(reply, self._under_way.intake, call.reading)
            finally:
                reply.close()
            if reply.status == 200 and body.find(question.job) < 0:
                connection.close()  # its answers are out of step with its questions
            require_no_secret(reply, body, call.access.traces)
            code = str(reply.status)
        except UpstreamFailure as failure:
            code = failure.code.value
            return failure.with_traceback(None)  # or what was read would live as long as the failure
        except httpx.TransportError as error:
            broken = failure_of(error)
            broken.__cause__ = error
            code = broken.code.value
            return broken
        except asyncio.CancelledError:
            if call.deadline is not None and call.deadline.passed:
                code = Code.UPSTREAM_TIMEOUT.value
            raise
        finally:
            now = self._ticks()
            self._metrics.upstream_calls.note(question.operation, code, now - started)
            if span is not NO_SPAN:
                end_span(span, question, code)
        return Answer(reply.status, headers_to_pass_on(reply, body), body, now - call.began, span.traceparent)
