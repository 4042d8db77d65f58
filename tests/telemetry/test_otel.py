"""The real command tells a real receiver of traces about its calls and jobs."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from gateway.ledger.ledger import Ledger
from gateway.telemetry.otel import Exporter, OpenTelemetry
from tests.conftest import REAL_KEY, REAL_ORG, Q, team
from tests.faults.unruly import UnrulyUpstream
from tests.scripted_upstream import Connection, response
from tests.served import Served, environment_of, eventually, served
from tests.trace_receiver import CLIENT, INTERNAL, SERVER, Span, TraceReceiver, trace_receiver

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CALLERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
SPAN = ReadableSpan("job", SpanContext(1, 1, is_remote=False))
CREATE, POLL = f"POST {Q}/requests", f"GET {Q}/requests/{{id}}"


@dataclass
class Scene:
    """A receiver, an upstream, and gateways of the real command between apps and these."""

    folder: Path
    receiver: TraceReceiver
    upstream: UnrulyUpstream
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        environment = environment_of(self.folder, self.upstream.url, **settings) | {"GMI_ORG_ID": REAL_ORG}
        return environment | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.receiver.url} | self.variables

    def spans(self, name: str, kind: int) -> list[Span]:
        return [span for span in self.receiver.spans if (span.name, span.kind) == (name, kind)]

    @asynccontextmanager
    async def gateway(self, module: str = "gateway", **settings: str) -> AsyncIterator[Served]:
        """One that has told all when the block has ended; `tests.hurried` follows jobs in haste."""
        async with served(self.environment(**settings), module) as gateway:
            assert gateway.public, "".join(gateway.said)
            yield gateway
            assert await gateway.ends(signal.SIGTERM) == 0

    def end_job(self, request_id: str, status: str = "success") -> None:
        self.upstream.jobs[request_id] |= {"status": status, "outcome": {"media_urls": []}}

    async def settled(self, request_id: str) -> None:
        ledger = Ledger(f"sqlite:///{self.folder / 'gateway.db'}")
        await ledger.open()

        async def is_settled() -> bool:
            job = await ledger.job(request_id)
            return job is not None and job.outcome is not None

        try:
            await eventually(is_settled)
        finally:
            await ledger.close()


def named_in(traceparent: str | None) -> tuple[str, str]:
    """The trace and the span."""
    _, trace, span, _ = (traceparent or "---").split("-")
    return trace, span


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        yield receiver


@pytest.fixture
async def scene(tmp_path: Path, receiver: TraceReceiver) -> AsyncIterator[Scene]:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "films.yaml").write_text(team("films", "canary-team-key", "limits: [9 jobs per day]"))
    async with UnrulyUpstream() as upstream:
        yield Scene(tmp_path, receiver, upstream)


async def test_a_create_its_job_and_a_poll_are_told_with_names_parents_and_facts(scene: Scene) -> None:
    before = time.time()  # noqa: TID251 - the receiver's clock
    async with scene.gateway() as gateway:
        client = gateway.client("canary-team-key")
        created = await client.create("Veo3", {"prompt": "canary-prompt"}, headers={**CALLERS, "X-Request-ID": "r1"})
        job = created.json()["request_id"]
        scene.end_job(job)
        polled = await client.get(f"{Q}/requests/{job}?secret=canary-query", headers={"Cookie": "canary-cookie"})
        assert (created.status_code, polled.status_code) == (200, 200)
        assert (await client.get("/canary-path")).status_code == 404
    [asked], [server] = scene.spans(CREATE, CLIENT), scene.spans(CREATE, SERVER)
    [ended] = scene.spans("job", INTERNAL)
    assert (server.trace, server.parent, server.failed) == (TRACE, PARENT, False)
    assert server.facts == {
        "http.request.method": "POST",
        "http.route": f"{Q}/requests",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "url.path": f"{Q}/requests",
        "gateway.team": "films",
        "gateway.key": "main",
        "gateway.model": "Veo3",
        "gateway.request_id": "r1",
        "gateway.job": job,
    }
    assert (asked.trace, asked.parent, asked.failed) == (TRACE, server.id, False)
    assert asked.facts == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(scene.upstream.url.rpartition(":")[2]),
        "url.full": f"{scene.upstream.url}{Q}/requests",
        "url.template": f"{Q}/requests",
        "gateway.operation": "create_request",
    }
    [sent] = scene.upstream.creates
    assert (named_in(sent.header("traceparent")), sent.header("tracestate")) == ((TRACE, asked.id), "vendor=1")
    assert (ended.trace, ended.parent, ended.failed) == (TRACE, server.id, False)
    assert ended.facts == {
        "gateway.team": "films",
        "gateway.key": "main",
        "gateway.model": "Veo3",
        "gateway.job": job,
        "gateway.outcome": "success",
        "gateway.usd": 0.1,
    }
    assert before <= server.started <= asked.started <= asked.ended <= server.ended
    assert server.started <= ended.started <= server.ended <= ended.ended
    [poll], [look] = scene.spans(POLL, SERVER), scene.spans(POLL, CLIENT)
    assert (poll.parent, poll.facts["gateway.job"], look.parent) == ("", job, poll.id)
    assert poll.trace == look.trace != TRACE
    [sent] = scene.upstream.calls("GET", f"{Q}/requests/{job}")
    assert (named_in(sent.header("traceparent")), sent.header("x-request-id")) == ((look.trace, look.id), None)
    [unknown] = scene.spans("GET", SERVER)
    assert (unknown.facts["gateway.code"], unknown.failed) == ("unknown_route", False)
    assert scene.receiver.resources[0]["service.name"] == "gmi-gateway"
    secrets = (b"canary", REAL_KEY.encode(), REAL_ORG.encode())
    assert [secret for secret in secrets if secret in scene.receiver.raw] == []


async def test_a_job_that_another_gateway_sees_the_end_of_is_told_once_in_its_own_trace(scene: Scene) -> None:
    async with scene.gateway() as gateway:
        created = await gateway.client("canary-team-key").create(headers=CALLERS)
        job = created.json()["request_id"]
    [server] = scene.spans(CREATE, SERVER)
    assert scene.spans("job", INTERNAL) == []
    scene.end_job(job, "failed")
    async with scene.gateway("tests.hurried", workers="2"):
        await scene.settled(job)
    [ended] = scene.spans("job", INTERNAL)
    assert (ended.trace, ended.parent, ended.failed) == (TRACE, server.id, True)
    assert (ended.facts["gateway.outcome"], ended.facts["error.type"]) == ("failed", "failed")
    assert server.started <= ended.started <= server.ended < ended.ended
    assert {(look.trace, look.parent) for look in scene.spans(POLL, CLIENT)} == {(TRACE, server.id)}


async def test_what_its_caller_does_not_sample_is_passed_on_and_not_told(scene: Scene) -> None:
    async with scene.gateway("tests.hurried") as gateway:
        created = await gateway.client("canary-team-key").create(headers=UNSAMPLED)
        scene.end_job(created.json()["request_id"])
        await scene.settled(created.json()["request_id"])
    assert scene.upstream.calls("GET", f"{Q}/requests/{created.json()['request_id']}")
    assert scene.receiver.spans == []
    [sent] = scene.upstream.creates
    trace, span = named_in(sent.header("traceparent"))
    assert (trace, span != PARENT) == (TRACE, True)
    assert (sent.header("traceparent") or "").endswith("-00")


async def test_the_usual_variables_are_heeded(scene: Scene) -> None:
    scene.variables = {
        "OTEL_SERVICE_NAME": "films-gateway",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=7",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }
    async with scene.gateway() as gateway:
        client = gateway.client("canary-team-key")
        assert (await client.get("/gateway/v1/usage")).status_code == 200
        assert (await client.get("/gateway/v1/usage", headers=CALLERS)).status_code == 200
    [span] = scene.receiver.spans
    assert (span.trace, span.parent) == (TRACE, PARENT)
    resource = scene.receiver.resources[0]
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("films-gateway", "staging")
    assert scene.receiver.headers[0]["x-tenant"] == "7"


async def test_a_trace_that_is_malformed_is_begun_anew(scene: Scene) -> None:
    async with scene.gateway() as gateway:
        await gateway.client("canary-team-key").get(
            "/gateway/v1/usage", headers={"traceparent": CALLERS["traceparent"][1:]}
        )
    [span] = scene.spans("GET /gateway/v1/usage", SERVER)
    assert (span.parent, span.trace != TRACE) == ("", True)


async def test_polls_that_share_a_call_are_linked_to_it(scene: Scene) -> None:
    async with scene.gateway() as gateway:
        client = gateway.client("canary-team-key")
        job = (await client.create()).json()["request_id"]
        answered = asyncio.Event()

        async def answer_later(connection: Connection) -> None:
            await answered.wait()
            await connection.send(response(json.dumps(scene.upstream.jobs[job]).encode()))

        async def all_wait() -> bool:
            return "gateway_requests_in_flight 5.0" in (await gateway.ask_admin("/metrics")).text

        scene.upstream.scripts["GET", f"{Q}/requests/{job}"] = answer_later
        polls = asyncio.gather(*(client.get(f"{Q}/requests/{job}") for _ in range(5)))
        await eventually(all_wait)
        answered.set()
        assert {poll.status_code for poll in await polls} == {200}
    [look], polled = scene.spans(POLL, CLIENT), scene.spans(POLL, SERVER)
    assert sorted(poll.links for poll in polled) == [[], *[[look.id]] * 4]
    assert [poll.id for poll in polled if not poll.links] == [look.parent]


async def test_upstreams_faults_and_retries_are_told(scene: Scene) -> None:
    target = f"{Q}/models"
    scene.upstream.answers["GET", target] = response(b"<html>", "502 Bad Gateway", "content-type: text/html")
    async with scene.gateway() as gateway:
        assert (await gateway.client("canary-team-key").get(target)).status_code == 502
    tries, [server] = scene.spans(f"GET {target}", CLIENT), scene.spans(f"GET {target}", SERVER)
    assert {(span.failed, span.facts["error.type"], span.parent) for span in tries} == {(True, "502", server.id)}
    assert len(tries) == 2
    assert (server.failed, server.facts["error.type"]) == (True, "502")


@pytest.mark.parametrize("status", [None, 400, 503])
async def test_a_receiver_that_fails_is_felt_by_nobody(scene: Scene, status: int | None) -> None:
    scene.receiver.status = status
    scene.variables = {
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_BSP_MAX_QUEUE_SIZE": "8",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
    }
    async with scene.gateway() as gateway:
        client = gateway.client("canary-team-key")
        for _ in range(60):
            assert (await client.get("/gateway/v1/usage")).status_code == 200
        if status == 400:
            await eventually(lambda: said(gateway, "spans are lost"))
    assert scene.receiver.spans == []
    assert not any("/v1/traces" in line or "Traceback" in line for line in gateway.said)


async def said(gateway: Served, event: str) -> bool:
    return any(json.loads(line)["event"] == event for line in gateway.said if line.startswith("{"))


async def test_nobody_at_the_other_end_is_felt_by_nobody(scene: Scene) -> None:
    scene.variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "20"}
    async with scene.gateway() as gateway:
        for _ in range(20):
            assert (await gateway.client("canary-team-key").get("/gateway/v1/usage")).status_code == 200


async def test_what_is_not_wanted_is_not_told_and_what_upstream_gets_is_as_ever(scene: Scene) -> None:
    scene.variables = {"OTEL_SDK_DISABLED": "true"}
    async with scene.gateway() as gateway:
        await gateway.client("canary-team-key").create(headers=CALLERS)
        await gateway.client("canary-team-key").create()
    first, second = scene.upstream.creates
    assert (first.header("traceparent"), first.header("tracestate")) == (CALLERS["traceparent"], "vendor=1")
    assert second.header("traceparent") is None
    assert scene.receiver.spans == []


async def test_without_the_extra_a_start_says_what_to_install(scene: Scene) -> None:
    async with served(scene.environment(), "tests.without_otel") as gateway:
        assert await gateway.ends() == 2
    told = "".join(gateway.said)
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: " in told
    assert "pip install '.[otel]'" in told


async def test_without_the_extra_and_without_the_wish_nothing_lacks(scene: Scene) -> None:
    scene.variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    async with served(scene.environment(), "tests.without_otel") as gateway:
        assert (await gateway.client("canary-team-key").get("/gateway/v1/usage")).status_code == 200
        assert await gateway.ends(signal.SIGTERM) == 0


@pytest.fixture
async def traces(receiver: TraceReceiver) -> AsyncIterator[OpenTelemetry]:
    """By a clock that stands still."""
    traces = OpenTelemetry(f"{receiver.url}/v1/traces", lambda: 1000.0, "1")
    yield traces
    await traces.close()


async def test_a_job_is_told_with_the_times_it_is_given_and_ends_no_sooner_than_it_began(
    traces: OpenTelemetry, receiver: TraceReceiver
) -> None:
    traces.record_job(CALLERS["traceparent"], (100.0, 250.5), {"gateway.outcome": "success"})
    traces.record_job(CALLERS["traceparent"], (300.0, 299.0), {}, "expired")
    await traces.close()
    well, ill = sorted(receiver.spans, key=lambda span: span.started)
    assert (well.name, well.trace, well.parent) == ("job", TRACE, PARENT)
    assert (well.started, well.ended, well.failed, well.facts) == (100.0, 250.5, False, {"gateway.outcome": "success"})
    assert (ill.started, ill.ended, ill.failed, ill.facts) == (300.0, 300.0, True, {"error.type": "expired"})


async def test_a_task_goes_on_with_what_it_is_told_or_with_nothing_that_is_recorded(
    traces: OpenTelemetry, receiver: TraceReceiver
) -> None:
    traces.resume(CALLERS["traceparent"])
    first = traces.begin_question("first", {"a": 1})
    traces.resume(None)
    second = traces.begin_question("second", {})
    first.link(CALLERS["traceparent"])
    assert (first.traceparent is None, second.traceparent) == (False, None)
    assert named_in(first.context[0][1].decode())[0] == TRACE != named_in(second.context[0][1].decode())[0]
    first.end("renamed", {"b": 2})
    second.end("second", {})
    await traces.close()
    [told] = receiver.spans
    assert (told.name, told.trace, told.parent, told.links) == ("renamed", TRACE, PARENT, [PARENT])
    assert told.facts == {"a": 1, "b": 2}


def test_the_log_says_once_that_spans_are_lost_and_once_that_they_are_not(
    receiver: TraceReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = Exporter(f"{receiver.url}/v1/traces")
    with caplog.at_level(logging.INFO, "gateway"):
        for status in (400, 400, 200, 200):
            receiver.status = status
            exporter.export([SPAN, SPAN])
    exporter._client.shutdown()
    said = [(record.message, record.fields) for record in caplog.records if record.name == "gateway"]  # type: ignore[attr-defined]  # the formatter's own field
    assert said == [("spans are lost", {"count": 2}), ("spans are taken again", {"lost": 4})]
