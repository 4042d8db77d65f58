"""Uploads through the gateway: by a URL that is good for one file, and with what was signed for it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.core.signed import LIFE
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream

PUBLIC = "https://gateway.example"
RELAY = "uploads: {relay: true, max_size: 64 KiB}\nlimits: [9 uploads per day]"
FILES = {"a.yaml": team("a", "key-a", RELAY), "b.yaml": team("b", "key-b", RELAY)}
PNG = {"Content-Type": "image/png"}


@dataclass
class Office:
    """A gateway that relays, in front of the simulator."""

    house: House

    async def ask(self, file_type: str = "png", key: str = "key-a") -> dict[str, Any]:
        answer = await self.house.client(key).call("POST", f"{Q}/upload-url", json={"file_type": file_type})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["upload_url"].startswith(f"{PUBLIC}/gateway/v1/uploads/")
        return found | {"upload_url": found["upload_url"].replace(PUBLIC, self.house.running.public_url)}

    async def put(self, url: str, content: Any = b"png", **headers: str) -> httpx.Response:
        return await self.house.http.put(url, content=content, headers=PNG | headers)


@pytest.fixture
async def office(open_house: OpenHouse) -> Office:
    return Office(await open_house(FILES, public_url=PUBLIC))


def is_unknown(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


async def test_a_file_goes_through_to_where_upstream_says(office: Office) -> None:
    slot = await office.ask()
    assert "Signature" not in json.dumps(slot)
    stored = await office.put(slot["upload_url"], b"\x89PNG")
    assert stored.status_code == 200
    file = await office.house.http.get(slot["public_url"])
    assert (file.content, file.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert await office.house.used("uploads", "a") == 1
    assert 'gateway_uploads_total{file_type="png",team="a"} 1.0' in (await office.house.admin("/metrics")).text


async def test_ss4_storage_is_told_nothing_of_who_uploads(office: Office) -> None:
    slot = await office.ask()
    headers = {"Authorization": "Bearer key-a", "Cookie": "a=b", "X-Organization-ID": "o", "X-Forwarded-For": "1.1.1.1"}
    assert (await office.put(slot["upload_url"], **headers)).status_code == 200
    (entry,) = [each for each in office.house.upstream.simulation.journal.entries if each.operation == "put_object"]
    told = {name.lower() for name in entry.headers}
    assert told == {"host", "content-type", "content-length", "accept-encoding", "connection", "user-agent"}


async def test_a_url_is_good_for_one_file(office: Office) -> None:
    url = (await office.ask())["upload_url"]
    assert (await office.put(url)).status_code == 200
    assert is_unknown(await office.put(url))
    assert office.house.received("put_object") == 1


async def test_az9_no_other_token_is_told_from_a_wrong_one(office: Office) -> None:
    url, used = (await office.ask())["upload_url"], (await office.ask())["upload_url"]
    await office.put(used)
    folder, _, token = url.rpartition("/")
    altered = token[:-1] + ("A" if token[-1] != "A" else "B")
    tries = [used, f"{folder}/{altered}", f"{folder}/x", f"{folder}/", f"{folder}/{token}%20", f"{folder}/{'a' * 600}"]
    answers = [await office.put(each, **{"X-Request-ID": "x"}) for each in tries]
    answers.append(await office.put(url, Authorization="Bearer key-b", **{"X-Request-ID": "x"}))
    answers.append(await office.put(url, Authorization="Bearer nobody", **{"X-Request-ID": "x"}))
    answers.append(await office.house.http.get(f"{folder}/x", headers={"X-Request-ID": "x"}))
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({frozenset(answer.headers) for answer in answers}) == 1
    assert office.house.received("put_object") == 1
    assert (await office.put(url, Authorization="Bearer key-a")).status_code == 200


async def test_az9_a_token_ends_with_its_signature(office: Office) -> None:
    url = (await office.ask())["upload_url"]
    path = office.house.gw.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database, database:
        (left,) = database.execute("SELECT expires_at FROM upload_slots").fetchone()
        assert 0 < left - office.house.gw.now() <= LIFE
        database.execute("UPDATE upload_slots SET expires_at = ?", (office.house.gw.now(),))
    assert is_unknown(await office.put(url))


@pytest.mark.parametrize(
    "policy",
    ["", team("a", "key-a", "uploads: {relay: false}"), team("a", "key-a", RELAY).replace("name: main", "name: other")],
    ids=["no-team", "no-relay", "no-key"],
)
async def test_a_token_ends_with_its_team_its_key_and_the_relay(office: Office, policy: str) -> None:
    url = (await office.ask())["upload_url"]
    (office.house.policies / "a.yaml").write_text(policy or team("c", "key-c"))
    reloaded = await office.house.http.post(f"{office.house.running.admin_url}/reload")
    assert reloaded.status_code == 200
    assert is_unknown(await office.put(url))


async def test_whoever_guesses_tokens_is_slowed_down(office: Office) -> None:
    url = (await office.ask())["upload_url"]
    wrong = url[:-1] + ("A" if url[-1] != "A" else "B")
    answers = [await office.put(other) for other in (wrong, f"{url}x") for _ in range(65)]
    assert {answer.status_code for answer in answers[:100]} == {404}
    assert answers[-1].status_code == 429
    assert (await office.put(url)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "image/jpeg"}, {"Content-Type": "image/png; a=b"}, {"Content-Encoding": "gzip"}],
    ids=["type", "parameter", "encoding"],
)
async def test_bo10_only_what_was_signed_is_sent_on(office: Office, headers: dict[str, str]) -> None:
    url = (await office.ask())["upload_url"]
    answer = await office.put(url, **headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert office.house.received("put_object") == 0
    assert (await office.put(url)).status_code == 200


async def in_parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_bo10_a_file_that_is_too_large_leaves_nothing(office: Office) -> None:
    slot = await office.ask()
    url, size = slot["upload_url"], 64 * 1024
    for content in (b"x" * (size + 1), in_parts(b"x" * size, b"x")):
        answer = await office.put(url, content)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert (await office.house.http.get(slot["public_url"])).status_code == 404
    assert (await office.put(url, b"x" * size)).status_code == 200


async def test_bo10_a_file_whose_length_nobody_knows_is_stored_whole(office: Office) -> None:
    slot = await office.ask()
    assert (await office.put(slot["upload_url"], in_parts(b"a" * 9000, b"", b"b"))).status_code == 200
    assert (await office.house.http.get(slot["public_url"])).content == b"a" * 9000 + b"b"


@pytest.mark.parametrize(
    "framing", ["Content-Length: 100\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
async def test_bo10_a_file_that_breaks_off_leaves_nothing(office: Office, framing: str) -> None:
    slot = await office.ask()
    path = httpx.URL(slot["upload_url"])
    _, writer = await asyncio.open_connection(path.host, path.port)
    writer.write(f"PUT {path.path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n{framing}".encode())
    await writer.drain()
    await office.house.eventually(lambda: office.house.received("put_object") == 1)
    writer.close()

    async def is_good_again() -> bool:
        return (await office.put(slot["upload_url"], b"whole")).status_code == 200

    await office.house.eventually(is_good_again)
    assert (await office.house.http.get(slot["public_url"])).content == b"whole"


async def test_what_storage_refuses_may_be_tried_again(office: Office) -> None:
    url = (await office.ask())["upload_url"]
    gw = office.house.gw
    path = gw.settings.ledger.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database, database:
        (signed,) = database.execute("SELECT url FROM upload_slots").fetchone()
        database.execute("UPDATE upload_slots SET url = ?", (f"{signed}0",))
    answers = [await office.put(url) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert b"SignatureDoesNotMatch" in answers[0].content
    assert answers[0].headers["content-type"].startswith("application/xml")


async def test_the_key_needs_the_scope_and_its_calls_are_counted(open_house: OpenHouse) -> None:
    body = "uploads: {relay: true}\nlimits: [2 requests per day]"
    office = Office(await open_house({"a.yaml": team("a", "key-a", body)}, public_url=PUBLIC))
    url = (await office.ask())["upload_url"]
    assert (await office.put(url, **{"Content-Type": "x"})).status_code == 415
    assert (await office.put(url)).json()["code"] == "rate_limited"


async def test_the_signed_url_is_nowhere_to_be_seen(
    open_house: OpenHouse, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    office = Office(await open_house(FILES, public_url=PUBLIC, access_log="on", log_level="debug"))
    url = (await office.ask())["upload_url"]
    assert (await office.put(url)).status_code == 200
    office.house.gw.access_log.flush()
    out, err = capsysbinary.readouterr()
    seen = out + err + (await office.house.admin("/metrics")).content
    assert b"/gateway/v1/uploads/{token}" in out
    assert b"Signature" not in seen
    assert url.rpartition("/")[2].encode() not in seen


UNSAFE = [
    "http://storage.googleapis.com/b/x?X-Goog-Signature=1",
    "https://storage.googleapis.com.evil.example/b/x",
    "https://evil.example/b/x",
    "https://user@storage.googleapis.com/b/x",
    "https://storage.googleapis.com:22/b/x",
    "https://storage.googleapis.com./b/x",
    "https://stor\u00e4ge.googleapis.com/b/x",
    "file:///etc/passwd",
    "gopher://storage.googleapis.com/x",
    "https://storage.googleapis.com\\@evil.example/",
]


@pytest.mark.parametrize(
    "body",
    [json.dumps({"upload_url": url, "public_url": "p"}) for url in UNSAFE]
    + ['{"public_url":"p"}', '{"upload_url":7}', '{"upload_url":"https://storage.googleapis.com/a","upload_url":"b"}'],
)
async def test_ss1_an_upload_url_elsewhere_is_refused_and_costs_nothing(open_house: OpenHouse, body: str) -> None:
    async with FakeUpstream() as upstream:
        upstream.answers["POST", f"{Q}/upload-url"] = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        house = await open_house(FILES, upstream=upstream.url, public_url=PUBLIC)
        answer = await house.client("key-a").call("POST", f"{Q}/upload-url", json={"file_type": "png"})
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")
        assert await house.used("uploads", "a") == 0


async def test_ss5_a_client_names_no_url_of_its_own(office: Office) -> None:
    slot = await office.ask()
    answer = await office.put(f"{slot['upload_url']}?url=https://storage.googleapis.com/b/other")
    assert answer.status_code == 200
    assert (await office.house.http.get(slot["public_url"])).status_code == 200
