"""The seven operations, asked over a real socket as any client would."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway.simulator import Simulator
from gateway.simulator.catalogue import CATALOGUE
from tests.simulator.conftest import QUEUE, Clock, Start

VEO = {"model": "Veo3", "payload": {"prompt": "a fox"}}
IMAGE = {"model": "seedream-5.0-lite", "payload": {"prompt": "a fox"}}


async def set_faults(client: httpx.AsyncClient, *faults: str) -> None:
    answer = await client.post(str(client.base_url.join("/simulator/faults")), json={"faults": faults})
    assert answer.status_code == 200


async def total(client: httpx.AsyncClient) -> int:
    count: int = (await client.get("/requests")).json()["total"]
    return count


async def test_the_listing_names_every_model(client: httpx.AsyncClient) -> None:
    answer = await client.get("/models")
    assert answer.json() == {"model_ids": list(CATALOGUE)}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "server" not in answer.headers


@pytest.mark.parametrize("model_id", CATALOGUE)
async def test_every_listed_model_has_a_detail(client: httpx.AsyncClient, model_id: str) -> None:
    answer = await client.get(f"/models/{quote(model_id)}")
    assert answer.status_code == 200
    assert answer.json()["model"] == model_id


@pytest.mark.parametrize("model_id", ["veo3", "nope"])
async def test_an_unknown_model_is_404(client: httpx.AsyncClient, model_id: str) -> None:
    for answer in (
        await client.get(f"/models/{model_id}"),
        await client.post("/requests", json={"model": model_id, "payload": {}}),
    ):
        assert answer.status_code == 404
        assert answer.text == f'{{"error":"model {model_id} does not exist"}}'


async def test_a_video_runs_from_created_to_success(client: httpx.AsyncClient, clock: Clock) -> None:
    created = (await client.post("/requests", json=VEO)).json()
    assert "outcome" not in created
    seen = [created["status"]]
    for _ in range(10):
        clock.now += 0.01
        record = (await client.get(f"/requests/{created['request_id']}")).json()
        seen.append(record["status"])
    assert list(dict.fromkeys(seen)) == ["created", "dispatched", "processing", "success"]
    artifact = await client.get(record["outcome"]["video_url"])
    assert artifact.content[4:8] == b"ftyp"


async def test_an_image_is_finished_within_the_post(client: httpx.AsyncClient) -> None:
    record = (await client.post("/requests", json=IMAGE)).json()
    assert list(record)[4] == "status"
    assert record["status"] == "success"
    assert record["payload"] == IMAGE["payload"]
    assert record["outcome"]["media_urls"][0]["url"].endswith("/image.png")


async def test_a_refused_sync_job_is_400_and_exists_as_failed(client: httpx.AsyncClient, clock: Clock) -> None:
    answer = await client.post("/requests", json={"model": "bria-genfill", "payload": {}})
    assert answer.status_code == 400
    clock.now += 1
    assert list(answer.json()) == ["error", "request_id"]
    record = (await client.get(f"/requests/{answer.json()['request_id']}")).json()
    assert record["status"] == "failed"


@pytest.mark.parametrize(
    ("model", "status", "outcome"),
    [("minimax-hailuo-2.3-fast", "failed", str), ("luma-ray-2", "failed", dict)],
)
async def test_a_failed_job_is_200_with_its_reason(
    client: httpx.AsyncClient, clock: Clock, model: str, status: str, outcome: type
) -> None:
    created = (await client.post("/requests", json=VEO | {"model": model})).json()
    clock.now += 1000
    answer = await client.get(f"/requests/{created['request_id']}")
    assert answer.status_code == 200
    assert answer.json()["status"] == status
    assert isinstance(answer.json()["outcome"]["error"], outcome)


async def test_one_model_stays_queued_for_ever(client: httpx.AsyncClient, clock: Clock) -> None:
    created = (await client.post("/requests", json=VEO | {"model": "vidu-q1"})).json()
    clock.now += 1e8
    record = (await client.get(f"/requests/{created['request_id']}")).json()
    assert (record["status"], record["outcome"]) == ("queued", None)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid request body"),
        (b"[]", "invalid request body"),
        (b'{"model":NaN}', "invalid request body"),
        (b'{"model":1e999}', "invalid request body"),
        (b"[" * 100_000, "invalid request body"),
        (b'{"model":"Veo3"}', "model (string) and payload (object) are required"),
        (b'{"model":7,"payload":{}}', "model (string) and payload (object) are required"),
        (b'{"model":"Veo3","payload":[]}', "model (string) and payload (object) are required"),
        (b'{"model":"Veo3","payload":{}}', "missing required parameter: prompt"),
    ],
)
async def test_a_wrong_create_is_400_and_makes_no_job(client: httpx.AsyncClient, body: bytes, error: str) -> None:
    answer = await client.post("/requests", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})
    assert await total(client) == 0


@pytest.mark.parametrize(
    "payload",
    ['{"prompt":"ünï \\ud83e\\udd8a","seed":null,"a.b":0,"n":0.5,"f":false}', '{"prompt":"\\ud800"}'],
)
async def test_a_payload_is_echoed(client: httpx.AsyncClient, payload: str) -> None:
    body = f'{{"model":"seedream-5.0-lite","payload":{payload}}}'.encode()
    answer = await client.post("/requests", content=body)
    expected = json.dumps(json.loads(payload), ensure_ascii=False, separators=(",", ":"))
    assert f'"payload":{expected}'.encode(errors="replace") in answer.content


async def test_the_list_is_paged_newest_first(client: httpx.AsyncClient) -> None:
    ids = [(await client.post("/requests", json=VEO)).json()["request_id"] for _ in range(3)]
    await client.post("/requests", json=IMAGE)

    async def page(query: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await client.get(f"/requests?{query}")).json()
        answer["requests"] = [record["request_id"] for record in answer["requests"]]
        return answer

    whole = await page("model_id=Veo3")
    assert whole == {"requests": ids[::-1], "has_more": False, "total": 3}
    first = await page("model_id=Veo3&limit=2")
    assert first == {"requests": [ids[2], ids[1]], "has_more": True, "total": 3}
    second = await page("model_id=Veo3&limit=2&offset=2")
    assert second == {"requests": [ids[0]], "has_more": False, "total": 3}
    assert (await page(""))["total"] == 4


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "offset=1e3", "offset=", "limit=9999999999"])
async def test_a_wrong_page_is_400(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/requests?{query}")
    name = query.partition("=")[0]
    assert (answer.status_code, answer.json()) == (400, {"error": f"{name} must be a number"})


async def test_a_delete_cancels_a_live_job(client: httpx.AsyncClient, clock: Clock) -> None:
    created = (await client.post("/requests", json=VEO)).json()
    answer = await client.delete(f"/requests/{created['request_id']}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    clock.now += 1000
    assert (await client.get(f"/requests/{created['request_id']}")).json()["status"] == "cancelled"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_request_is_404(client: httpx.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/requests/63729242-0000-4000-8000-000000000000")
    assert (answer.status_code, answer.json()) == (404, {"error": "request not found"})


@pytest.mark.parametrize("body", [b"{}", b'{"file_type":"gif"}', b'{"file_type":["png"]}', b"png"])
async def test_an_unknown_file_type_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/upload-url", content=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer wrong")],
        [("Authorization", "simulated-gmi-key")],
        [("Authorization", "Bearer simulated-gmi-key"), ("Authorization", "Bearer simulated-gmi-key")],
    ],
)
async def test_a_missing_wrong_or_doubled_key_is_401(
    simulator: Simulator, anonymous: httpx.AsyncClient, headers: list[tuple[str, str]]
) -> None:
    answer = await anonymous.get(f"{QUEUE}/models", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid API key"})
    assert [entry.key_accepted for entry in simulator.simulation.journal.entries] == [False]


async def test_organizations_are_checked_and_kept_apart(start: Start) -> None:
    simulator = await start(keys=("one", "two"), organizations=("a", "b"))
    async with httpx.AsyncClient(base_url=simulator.url + QUEUE, trust_env=False) as client:
        client.headers["Authorization"] = "Bearer two"
        of_b = {"X-Organization-ID": "b"}
        created = (await client.post("/requests", json=VEO, headers=of_b)).json()
        path = f"/requests/{created['request_id']}"
        assert (await client.get(path, headers=of_b)).json()["org_id"] == "b"
        assert (await client.get(path)).status_code == 404
        assert await total(client) == 0
        assert (await client.get(path, headers={"X-Organization-ID": "c"})).status_code == 403
        doubled = [("X-Organization-ID", "a"), ("X-Organization-ID", "b")]
        assert (await client.get(path, headers=doubled)).status_code == 403


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("401", 401, "invalid API key"),
        ("402", 402, "Insufficient credits. Please add more credits to your account."),
        ("403", 403, "this key may not use the organization"),
        ("503", 503, "Upstream capacity temporarily exhausted"),
    ],
)
async def test_a_refused_create_makes_no_job(client: httpx.AsyncClient, kind: str, status: int, error: str) -> None:
    await set_faults(client, f"create_request:{kind}")
    answer = await client.post("/requests", json=VEO)
    assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert await total(client) == 0


async def test_a_rate_limit_tells_its_delay_in_the_body_alone(client: httpx.AsyncClient) -> None:
    await set_faults(client, "create_request:429", "get_model:429")
    answer = await client.post("/requests", json=IMAGE)
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers
    assert answer.text == (
        '{"error":"Rate limit exceeded for model seedream-5.0-lite: 2 requests per 60 seconds. '
        'Retry in 29970 ms.","rate_limit":{"limit_type":"RPM","limit":2,"interval_seconds":60,'
        '"retry_after_ms":29970}}'
    )
    other = await client.get("/models/Veo3")
    assert other.json()["error"].startswith("Rate limit exceeded: 2 requests")


async def test_a_backend_error_leaves_a_failed_row(client: httpx.AsyncClient) -> None:
    await set_faults(client, "create_request:500")
    answer = await client.post("/requests", json=VEO)
    assert answer.status_code == 500
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith("Backend error (400)")
    (row,) = (await client.get("/requests")).json()["requests"]
    assert (row["status"], row["payload"]) == ("failed", VEO["payload"])


async def test_an_edge_timeout_loses_the_answer_and_not_the_job(client: httpx.AsyncClient) -> None:
    await set_faults(client, "create_request:504")
    answer = await client.post("/requests", json=VEO)
    assert (answer.status_code, answer.headers["content-type"]) == (504, "text/html; charset=utf-8")
    assert await total(client) == 1


async def test_the_edges_html_hides_everything(client: httpx.AsyncClient) -> None:
    await set_faults(client, "*:html")
    for answer in (await client.get("/models"), await client.post("/requests", json=VEO)):
        assert answer.status_code == 502
        assert answer.text.startswith("<html>")
    await set_faults(client)
    assert await total(client) == 0


@pytest.mark.parametrize(("kind", "jobs"), [("reset-before", 0), ("reset-after", 1)])
async def test_a_reset_comes_before_or_after_the_job(
    simulator: Simulator, client: httpx.AsyncClient, kind: str, jobs: int
) -> None:
    await set_faults(client, f"create_request:{kind}")
    with pytest.raises(httpx.ReadError):
        await client.post("/requests", json=VEO)
    assert simulator.simulation.journal.counts == {"create_request": 1}
    assert await total(client) == jobs


async def test_a_wrong_create_is_400_whatever_the_fault(client: httpx.AsyncClient) -> None:
    await set_faults(client, "create_request:500")
    assert (await client.post("/requests", json={"model": "Veo3", "payload": {}})).status_code == 400
    assert await total(client) == 0


async def test_a_latency_delays_its_operation_alone(client: httpx.AsyncClient) -> None:
    await set_faults(client, "get_model:latency:0.1")
    started = asyncio.get_running_loop().time()
    assert (await client.get("/models")).status_code == 200
    undelayed = asyncio.get_running_loop().time() - started
    assert (await client.get("/models/Veo3")).status_code == 200
    assert asyncio.get_running_loop().time() - started - undelayed >= 0.1


async def test_where_every_key_will_do_one_is_still_needed_and_organizations_stay_apart(start: Start) -> None:
    simulator = await start(any_key=True)
    async with httpx.AsyncClient(base_url=simulator.url + QUEUE, trust_env=False) as client:
        for wrong in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic abc"}):
            assert (await client.get("/models", headers=wrong)).status_code == 401
        client.headers["Authorization"] = "Bearer whatever-it-is"
        assert (await client.post("/requests", json=VEO)).json()["status"] == "created"
        of_mine = {"X-Organization-ID": "org-1"}
        created = (await client.post("/requests", json=VEO, headers=of_mine)).json()
        record = await client.get(f"/requests/{created['request_id']}", headers=of_mine)
        assert record.json()["org_id"] == "org-1"
        assert await total(client) == 1
        assert (await client.get("/models", headers={"X-Organization-ID": "../x"})).status_code == 403
