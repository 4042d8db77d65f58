"""A job's files through the gateway: listed by name, sent whole or in part, and nobody else's."""

import base64
import json
from typing import Any

import pytest

from tests.conftest import Client, House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream

RELAY = "uploads: {relay: true}"
PUBLIC = "https://gateway.example"
FILES = {"a.yaml": team("a", "key-a", RELAY), "b.yaml": team("b", "key-b", RELAY), "c.yaml": team("c", "key-c")}


def path(job: str, name: str = "") -> str:
    return f"/gateway/v1/requests/{job}/artifacts{name and '/'}{name}"


async def finished(client: Client, model: str = "Veo3") -> tuple[str, dict[str, Any]]:
    """A job that has ended well, and its record."""
    made = await client.create(model, headers={"Prefer": "wait=20"})
    assert made.json()["status"] == "success", made.text
    return made.json()["request_id"], made.json()


async def open_relay(open_house: OpenHouse, **options: Any) -> tuple[House, Client]:
    house = await open_house(FILES, public_url=PUBLIC, **options)
    return house, house.client("key-a")


async def test_a_finished_jobs_files_are_listed_and_sent(open_house: OpenHouse) -> None:
    house, client = await open_relay(open_house)
    job, record = await finished(client)
    listed = await client.get(path(job))
    assert listed.status_code == 200
    entries = listed.json()["artifacts"]
    assert (entries[0]["name"], entries[0]["type"]) == ("video.mp4", "video/mp4")
    assert entries[0]["url"] == PUBLIC + path(job, "video.mp4")
    original = (await house.http.get(record["outcome"]["video_url"])).content
    whole = await client.get(path(job, "video.mp4"))
    assert (whole.status_code, whole.content) == (200, original)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-length"] == str(len(original))
    assert whole.headers["cache-control"] == "private"
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-disposition"] == 'inline; filename="video.mp4"'
    head = await client.call("HEAD", path(job, "video.mp4"))
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(original)), b"")


async def test_a_range_is_passed_on(open_house: OpenHouse) -> None:
    house, client = await open_relay(open_house)
    job, record = await finished(client)
    original = (await house.http.get(record["outcome"]["video_url"])).content
    part = await client.get(path(job, "video.mp4"), headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, original[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(original)}"
    beyond = await client.get(path(job, "video.mp4"), headers={"Range": "bytes=999999999-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(original)}")
    for headers in ({"Range": "bytes=10-19", "If-Range": '"x"'}, {"Range": "lines=1-2"}, {"Range": "bytes=1-2,4-5"}):
        whole = await client.get(path(job, "video.mp4"), headers=headers)
        assert (whole.status_code, whole.content) == (200, original)


async def test_az1_the_files_of_another_team_are_not_there(open_house: OpenHouse) -> None:
    house, client = await open_relay(open_house)
    job, _ = await finished(client)
    stranger, before = house.client("key-b"), house.received("get_artifact")
    for name in ("", "video.mp4"):
        for asked in ("GET", "HEAD"):
            theirs = await stranger.call(asked, path(job, name), headers={"X-Request-ID": "x", "Range": "bytes=0-1"})
            none = await stranger.call(asked, path("no-such-job", name), headers={"X-Request-ID": "x"})
            assert theirs.status_code == none.status_code == 404
            assert theirs.content == none.content
            assert set(theirs.headers) == set(none.headers)
    poll = await stranger.get(f"{Q}/requests/{job}", headers={"X-Request-ID": "x"})
    assert (await stranger.get(path(job), headers={"X-Request-ID": "x"})).content == poll.content
    assert house.received("get_artifact") == before


async def test_without_relay_there_are_no_such_paths(open_house: OpenHouse) -> None:
    house, client = await open_relay(open_house)
    job, _ = await finished(house.client("key-c"))
    for asked in (job, "no-such-job"):
        answer = await house.client("key-c").get(path(asked))
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")
    assert (await client.get(path(job, "%2e%2e"))).status_code == 404


class Ended:
    """A gateway in front of an upstream whose one job has ended with what a test says."""

    def __init__(self, house: House, upstream: FakeUpstream) -> None:
        self.house, self.upstream, self.client = house, upstream, house.client("key-a")

    async def job(self, outcome: Any, status: str = "success") -> str:
        job = str((await self.client.create()).json()["request_id"])
        self.upstream.jobs[job] |= {"status": status, "outcome": outcome}
        return job


@pytest.fixture
async def ended(open_house: OpenHouse) -> Any:
    async with FakeUpstream() as upstream:
        yield Ended(await open_house(FILES, upstream=upstream.url, public_url=PUBLIC), upstream)


async def test_what_stands_in_the_record_itself_is_sent_as_a_file(ended: Ended) -> None:
    data = bytes(range(256)) * 2000
    inline = {"mimeType": "image/png", "data": base64.b64encode(data).decode()}
    job = await ended.job({"candidates": [{"content": {"parts": [{"inlineData": inline}]}}]})
    (entry,) = (await ended.client.get(path(job))).json()["artifacts"]
    assert entry["type"] == "image/png"
    whole = await ended.client.get(path(job, entry["name"]))
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, data, "image/png")
    part = await ended.client.get(path(job, entry["name"]), headers={"Range": "bytes=-3"})
    assert (part.status_code, part.content) == (206, data[-3:])
    assert part.headers["content-range"] == f"bytes {len(data) - 3}-{len(data) - 1}/{len(data)}"
    beyond = await ended.client.get(path(job, entry["name"]), headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    head = await ended.client.call("HEAD", path(job, entry["name"]))
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


async def test_what_is_no_base64_is_upstreams_fault(ended: Ended) -> None:
    job = await ended.job({"x": {"mime_type": "text/html", "data": "!"}})
    answer = await ended.client.get(path(job, "x.bin"))
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")


async def test_what_a_browser_might_run_is_stored_not_shown(ended: Ended) -> None:
    page = base64.b64encode(b"<script>").decode()
    job = await ended.job({"x": {"mimeType": "text/html", "data": page}})
    answer = await ended.client.get(path(job, "x.bin"))
    assert (answer.headers["content-type"], answer.content) == ("application/octet-stream", b"<script>")
    assert answer.headers["content-disposition"] == 'attachment; filename="x.bin"'


@pytest.mark.parametrize("status", ["processing", "failed", "cancelled"])
async def test_only_a_job_that_ended_well_has_files(ended: Ended, status: str) -> None:
    job = await ended.job({"video_url": "https://storage.googleapis.com/b/x.mp4"}, status)
    for name in ("", "video.mp4"):
        answer = await ended.client.get(path(job, name))
        assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
        assert "success" in answer.json()["error"]


async def test_an_unknown_name_and_an_outcome_without_files(ended: Ended) -> None:
    job = await ended.job({"choices": []})
    assert json.loads((await ended.client.get(path(job))).content) == {"artifacts": []}
    answer = await ended.client.get(path(job, "video.mp4"))
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")


async def test_what_upstream_answers_instead_of_a_record_is_told(ended: Ended) -> None:
    job = await ended.job(None)
    del ended.upstream.jobs[job]
    answer = await ended.client.get(path(job))
    assert (answer.status_code, answer.json()) == (404, {"error": "not found"})


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.googleapis.com/b/x.mp4",
        "https://storage.googleapis.com.evil.example/x.mp4",
        "https://user@storage.googleapis.com/x.mp4",
        "https://storage.googleapis.com:22/x.mp4",
        "https://storage.googleapis.com./x.mp4",
        "https://127.0.0.1/x.mp4",
    ],
)
async def test_ss1_a_file_elsewhere_is_not_fetched(ended: Ended, url: str) -> None:
    job = await ended.job({"video_url": url})
    answer = await ended.client.get(path(job, "video.mp4"))
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")


async def test_an_end_that_was_told_elsewhere_is_no_404_here(ended: Ended) -> None:
    job = str((await ended.client.create()).json()["request_id"])
    assert (await ended.client.get(f"{Q}/requests/{job}")).json()["status"] == "queued"
    ended.upstream.jobs[job] |= {
        "status": "success",
        "outcome": {"video_url": "https://storage.googleapis.com/b/x.mp4"},
    }
    assert (await ended.client.get(path(job))).json()["artifacts"][0]["name"] == "video.mp4"
