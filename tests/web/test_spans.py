"""The span of a client's call: what the access line may say, and nothing of the client's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.app import running
from gateway.settings import read_settings
from tests.conftest import Client, Q, team
from tests.fake_upstream import FakeUpstream
from tests.served import environment_of
from tests.trace_receiver import CLIENT, SERVER, Span, TraceReceiver, trace_receiver


@pytest.fixture
def receiver() -> Iterator[TraceReceiver]:
    with trace_receiver() as receiver:
        yield receiver


@asynccontextmanager
async def traced(folder: Path, receiver: TraceReceiver, upstream: FakeUpstream) -> AsyncIterator[Client]:
    """A client of a gateway that has told all when the block has ended."""
    (folder / "policies").mkdir()
    (folder / "policies" / "a.yaml").write_text(team("a", "key"))
    environment = environment_of(folder, upstream.url) | {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    async with (
        running(read_settings(environment, {}), environment) as run,
        httpx.AsyncClient(timeout=30, trust_env=False) as http,
    ):
        yield Client(run.public_url, "key", http)


def of_calls(receiver: TraceReceiver) -> list[Span]:
    return sorted((span for span in receiver.spans if span.kind == SERVER), key=lambda span: span.started)


async def test_what_a_path_holds_is_told_only_where_it_is_known(tmp_path: Path, receiver: TraceReceiver) -> None:
    async with FakeUpstream() as upstream, traced(tmp_path, receiver, upstream) as client:
        job = (await client.create()).json()["request_id"]
        await client.get(f"{Q}/requests/gmigw_canary")
        await client.call("PUT", "/gateway/v1/uploads/canary-token")
        await client.get(f"/gateway/v1/requests/{job}/artifacts/canary-name")
        await client.get(f"{Q}/models/Veo3")
        await client.call("DELETE", f"{Q}/requests/{job}")
        await client.call("PROPFIND", f"{Q}/models")
        await client.get("/gateway/")
    assert b"canary" not in receiver.raw.lower()
    calls = of_calls(receiver)
    told = [(span.name, span.facts["http.response.status_code"], span.facts.get("url.path")) for span in calls]
    assert told == [
        (f"POST {Q}/requests", 200, f"{Q}/requests"),
        (f"GET {Q}/requests/{{id}}", 404, None),
        ("PUT /gateway/v1/uploads/{token}", 404, None),
        ("GET /gateway/v1/requests/{id}/artifacts/{name}", 404, None),
        (f"GET {Q}/models/{{id}}", 200, None),
        (f"DELETE {Q}/requests/{{id}}", 200, None),
        (f"HTTP {Q}/models", 405, f"{Q}/models"),
        ("GET /gateway/", 200, "/gateway/"),
    ]
    assert [span.facts.get("gateway.job") for span in calls] == [job, None, None, None, None, job, None, None]
    assert calls[4].facts["gateway.model"] == "Veo3"
    assert calls[6].facts["http.request.method"] == "_OTHER"
    assert "gateway.team" not in calls[7].facts


async def test_a_call_that_is_broken_off_is_told_as_such(tmp_path: Path, receiver: TraceReceiver) -> None:
    async with FakeUpstream() as upstream:
        async with traced(tmp_path, receiver, upstream) as client:
            await client.get(f"{Q}/models/Veo3")
            upstream.go.clear()
            creating = asyncio.ensure_future(client.create())
            while not upstream.creates:  # noqa: ASYNC110 - there is nobody to tell
                await asyncio.sleep(0.01)
        with pytest.raises(httpx.HTTPError):
            await creating
    broken = of_calls(receiver)[-1]
    assert (broken.name, broken.failed, broken.facts["error.type"]) == (f"POST {Q}/requests", True, "broken_off")
    assert "http.response.status_code" not in broken.facts
    [asked] = [span for span in receiver.spans if span.kind == CLIENT and span.parent == broken.id]
    assert asked.facts["error.type"] == "cancelled"


async def test_a_listing_fetched_for_several_is_linked(tmp_path: Path, receiver: TraceReceiver) -> None:
    async with FakeUpstream() as upstream, traced(tmp_path, receiver, upstream) as client:
        answers = await asyncio.gather(*(client.get(f"{Q}/models") for _ in range(20)))
        shared = sum(answer.headers["cache-status"].endswith("collapsed") for answer in answers)
    [asked] = [span for span in receiver.spans if span.kind == CLIENT]
    assert [span.links for span in of_calls(receiver) if span.links] == [[asked.id]] * shared
    assert shared > 0
