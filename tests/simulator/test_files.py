"""Uploads and artifacts over a real socket."""

import httpx
import pytest

from gateway.simulator import Simulator
from gateway.simulator.storage import FILE_TYPES
from tests.simulator.conftest import Clock, Start

PNG = b"\x89PNG 0123456789"


async def presign(client: httpx.AsyncClient, file_type: str = "png") -> tuple[str, str]:
    answer = (await client.post("/upload-url", json={"file_type": file_type})).json()
    assert list(answer) == ["upload_url", "public_url"]
    return answer["upload_url"], answer["public_url"]


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/xml; charset=UTF-8"
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


@pytest.mark.parametrize(("file_type", "content_type"), FILE_TYPES.items())
async def test_an_upload_is_read_back_with_its_signed_type(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, file_type: str, content_type: str
) -> None:
    upload_url, public_url = await presign(client, file_type)
    answer = await anonymous.put(upload_url, content=PNG, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.content) == (200, b"")
    file = await anonymous.get(public_url)
    assert (file.status_code, file.content, file.headers["content-type"]) == (200, PNG, content_type)


@pytest.mark.parametrize(
    ("file_type", "headers", "status", "code"),
    [
        ("jpg", {"Content-Type": "image/jpeg"}, 403, "SignatureDoesNotMatch"),
        ("png", {"Content-Type": "image/png; q=1"}, 403, "SignatureDoesNotMatch"),
        ("png", {"Content-Type": "image/png", "Host": "elsewhere"}, 403, "SignatureDoesNotMatch"),
        ("png", {}, 400, "MalformedSecurityHeader"),
        ("png", {"Content-Type": "image/png", "Authorization": "Bearer k"}, 400, "InvalidArgument"),
    ],
)
async def test_an_upload_that_differs_from_what_was_signed_is_refused(
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    file_type: str,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    upload_url, public_url = await presign(client, file_type)
    answer = await anonymous.put(upload_url, content=PNG, headers=headers)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert (await anonymous.get(public_url)).status_code == 404


async def test_an_upload_url_expires(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, clock: Clock) -> None:
    upload_url, _ = await presign(client)
    clock.now += 900
    answer = await anonymous.put(upload_url, content=PNG, headers={"Content-Type": "image/png"})
    assert (answer.status_code, code_of(answer)) == (400, "ExpiredToken")


async def test_a_body_over_the_limit_is_413(start: Start) -> None:
    simulator = await start(max_body_bytes=1000)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.put(f"{simulator.url}/storage/a", content=b"x" * 1001)
    assert answer.status_code == 413


@pytest.fixture
async def artifact(client: httpx.AsyncClient, clock: Clock) -> str:
    """The URL of a finished job's picture."""
    body = {"model": "seedream-5.0-lite", "payload": {"prompt": "a fox"}}
    record = (await client.post("/requests", json=body)).json()
    clock.now += 1000
    return str(record["outcome"]["media_urls"][0]["url"])


async def test_an_artifact_is_public_and_knows_no_cors(anonymous: httpx.AsyncClient, artifact: str) -> None:
    answer = await anonymous.get(artifact, headers={"Origin": "https://elsewhere.example"})
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["accept-ranges"] == "bytes"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    head = await anonymous.head(artifact)
    assert (head.headers["content-length"], head.content) == (str(len(answer.content)), b"")


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=7000-", slice(7000, None)),
        ("bytes=7000-999999", slice(7000, None)),
        ("bytes=-5", slice(-5, None)),
        ("bytes=-999999", slice(0, None)),
    ],
)
async def test_a_range_is_answered_with_that_part(
    anonymous: httpx.AsyncClient, artifact: str, asked: str, part: slice
) -> None:
    whole = (await anonymous.get(artifact)).content
    answer = await anonymous.get(artifact, headers={"Range": asked})
    start, stop, _ = part.indices(len(whole))
    assert (answer.status_code, answer.content) == (206, whole[part])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0"])
async def test_an_unsatisfiable_range_is_416(anonymous: httpx.AsyncClient, artifact: str, asked: str) -> None:
    whole = (await anonymous.get(artifact)).content
    answer = await anonymous.get(artifact, headers={"Range": asked})
    assert (answer.status_code, code_of(answer)) == (416, "InvalidRange")
    assert answer.headers["content-range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=0-1,3-4", "items=0-1", "bytes=٣-"])
async def test_a_range_that_cannot_be_read_is_answered_whole(
    anonymous: httpx.AsyncClient, artifact: str, asked: str
) -> None:
    whole = (await anonymous.get(artifact)).content
    answer = await anonymous.get(artifact, headers=[(b"Range", asked.encode())])
    assert (answer.status_code, answer.content) == (200, whole)


async def test_there_is_no_artifact_before_success_or_beside_the_named_ones(
    simulator: Simulator, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, artifact: str
) -> None:
    body = {"model": "Veo3", "payload": {"prompt": "a fox"}}
    live = (await client.post("/requests", json=body)).json()["request_id"]
    folder = f"{simulator.url}/artifacts/simulated-organization"
    for url in (f"{folder}/{live}/video.mp4", f"{folder}/nope/video.mp4", artifact + ".exe"):
        answer = await anonymous.get(url)
        assert (answer.status_code, code_of(answer)) == (404, "NoSuchKey")
