"""A job as a stream of events: what it tells, when it closes, and how a client goes on where it was."""

import asyncio
import json

import pytest

from gateway.core.errors import Code, Refusal
from gateway.core.freshness import LIVE_RECORD_STALE
from gateway.looks import Seen
from gateway.upstream.client import Answer
from gateway.web.events import event_of
from tests.conftest import Q, team
from tests.events import listening
from tests.scripted_upstream import response
from tests.web.conftest import Studio


async def test_each_change_is_one_event_and_the_end_closes(studio: Studio) -> None:
    job = await studio.created()
    async with listening(studio.client, job) as events:
        for count, status in enumerate(("queued", "processing", "success"), start=1):
            studio.move(job, status)
            assert json.loads((await events.until(count))[-1].data)["status"] == status
        received = await events.end()
    assert [event.kind for event in received] == ["status"] * 3
    assert len({event.id for event in received}) == 3
    assert events.retry is not None
    polled = await studio.client.get(f"{Q}/requests/{job}")
    assert polled.content == received[-1].data
    assert polled.headers["etag"] == f'"{received[-1].id}"'
    headers = events.response.headers
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "private, no-store"


async def test_a_client_that_comes_back_is_told_only_what_is_new(studio: Studio) -> None:
    job = await studio.created()
    async with listening(studio.client, job) as events:
        (first,) = await events.until(1)
    async with listening(studio.client, job, last_event_id=first.id) as events:
        looked = studio.looks(job)
        await studio.house.eventually(lambda: studio.looks(job) >= looked + 2)
        assert events.received == []
        studio.move(job, "success")
        (last,) = await events.end()
    assert json.loads(last.data)["status"] == "success"
    again = await studio.client.get(f"/gateway/v1/requests/{job}/events", headers={"Last-Event-ID": last.id})
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("garbage", ["", "x" * 5000, '"quoted"', "\\r\\n", "0"])
async def test_lp3_garbage_to_resume_from_is_ignored(studio: Studio, garbage: str) -> None:
    job = await studio.created()
    studio.move(job, "failed")
    async with listening(studio.client, job, last_event_id=garbage) as events:
        (only,) = await events.end()
    assert json.loads(only.data)["status"] == "failed"


async def test_lp3_a_silent_stream_shows_that_it_lives(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.events.COMMENT_AFTER", 0.1)
    job = await studio.created()
    async with listening(studio.client, job) as events:
        await studio.house.eventually(lambda: events.comments >= 3)
        assert len(events.received) == 1


async def test_lp3_a_stream_begins_with_the_record_last_seen_while_upstream_is_silent(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.events.COMMENT_AFTER", 0.2)
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    studio.age(job, 5)
    with studio.silent():
        async with listening(studio.client, job) as events:
            (first,) = await events.until(1)
        async with listening(studio.client, job, last_event_id=first.id) as events:
            await studio.house.eventually(lambda: events.comments >= 3)
            assert events.received == []
    assert json.loads(first.data)["status"] == "queued"


async def test_lp3_a_stream_that_knows_nothing_yet_shows_that_it_lives(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.events.COMMENT_AFTER", 0.2)
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    studio.age(job, LIVE_RECORD_STALE)
    with studio.silent():
        async with listening(studio.client, job) as events:
            await studio.house.eventually(lambda: events.comments >= 3)
            assert events.received == []


async def test_sh2_a_drain_ends_a_stream_that_has_not_had_its_first_look(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        opening = asyncio.ensure_future(studio.client.get(f"/gateway/v1/requests/{job}/events"))
        await studio.house.eventually(lambda: studio.house.gw.waits.count == 1)
        studio.house.gw.waits.end_all()
        answer = await asyncio.wait_for(opening, 1)
    assert (answer.status_code, answer.content) == (200, b":\n\nretry: 2000\n")


async def test_a_client_that_leaves_before_its_first_event_gives_its_place_back(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        opening = asyncio.ensure_future(studio.client.get(f"/gateway/v1/requests/{job}/events"))
        await studio.house.eventually(lambda: studio.house.gw.waits.count == 1)
        opening.cancel()
        await studio.house.eventually(lambda: studio.house.gw.waits.count == 0, 2)


async def test_every_block_that_is_no_comment_is_an_event_with_its_data(studio: Studio) -> None:
    job = await studio.created()
    studio.move(job, "success")
    whole = await studio.client.get(f"/gateway/v1/requests/{job}/events")
    first, rest = whole.content.split(b"\n\n")
    assert (first.split(b"\n")[:2], rest) == ([b"retry: 2000", b"event: status"], b"")


async def test_a_stream_with_nothing_to_tell_yet_is_seen_to_have_begun(studio: Studio) -> None:
    job = await studio.created()
    async with listening(studio.client, job) as events:
        (first,) = await events.until(1)
    async with listening(studio.client, job, last_event_id=first.id) as events:
        await studio.house.eventually(lambda: events.comments == 1)
        assert (events.received, events.retry) == ([], None)
        studio.move(job, "success")
        await events.end()
    assert events.retry == 2000


async def test_au8_a_stream_that_has_not_had_its_first_look_ends_with_its_key(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        opening = asyncio.ensure_future(studio.client.get(f"/gateway/v1/requests/{job}/events"))
        await studio.house.eventually(lambda: studio.house.gw.waits.count == 1)
        (studio.house.policies / "a.yaml").write_text(team("a", "another"))
        answer = await asyncio.wait_for(opening, 5)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")


@pytest.mark.parametrize("status", ["404 No", "429 Slow", "500 Oh"])
async def test_lp3_a_stream_shows_that_it_lives_while_upstream_answers_errors(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    monkeypatch.setattr("gateway.web.events.COMMENT_AFTER", 1.5)
    monkeypatch.setattr("gateway.polling.LIVE_RECORD_FRESH", 0.05)
    job = await studio.created()
    async with listening(studio.client, job) as events:
        await events.until(1)
        studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b"{}", status)
        await studio.house.eventually(lambda: events.comments >= 2)
        assert len(events.received) == 1


async def test_a_stream_ends_for_its_client_to_come_back(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.web.events.LONGEST_STREAM", 0.3)
    job = await studio.created()
    async with listening(studio.client, job) as events:
        assert len(await events.end()) == 1
    assert events.retry == 2000


async def test_az1_a_strangers_job_looks_like_none_at_all(studio: Studio) -> None:
    job = await studio.created()
    stranger = studio.house.client("key-b")
    told = []
    for name in (job, "0d9b3f0e-6a51-4c1e-9d53-0c6a4c2f7f11"):
        answer = await stranger.get(f"/gateway/v1/requests/{name}/events", headers={"Last-Event-ID": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
        told.append({key: value for key, value in answer.headers.items() if key not in ("x-request-id", "date")})
    assert told[0].keys() == told[1].keys()
    assert studio.looks(job) == 0


async def test_me1_head_tells_what_get_would_and_leaves_nothing_behind(studio: Studio) -> None:
    job = await studio.created()
    answer = await studio.client.call("HEAD", f"/gateway/v1/requests/{job}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    await studio.house.eventually(lambda: studio.house.gw.waits.count == 0)


async def test_upstreams_error_is_told_as_a_poll_tells_it(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"down"}', "500 Oh")
    answer = await studio.client.get(f"/gateway/v1/requests/{job}/events")
    assert (answer.status_code, answer.content) == (500, b'{"error":"down"}')


async def test_a_stream_outlives_upstreams_failures(studio: Studio) -> None:
    job = await studio.created()
    async with listening(studio.client, job) as events:
        await events.until(1)
        looked = studio.looks(job)
        studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"down"}', "500 Oh")
        await studio.house.eventually(lambda: studio.looks(job) > looked)
        studio.upstream.answers.clear()
        studio.move(job, "success")
        assert len(await events.end()) == 2


async def test_a_stream_of_a_job_that_upstream_lost_ends(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.polling.MISSING_AT_FIRST", 0.0)
    job = await studio.created()
    async with listening(studio.client, job) as events:
        await events.until(1)
        del studio.upstream.jobs[job]
        assert len(await events.end()) == 1
    answer = await studio.client.get(f"/gateway/v1/requests/{job}/events")
    assert (answer.status_code, "code" in answer.json()) == (404, False)


async def test_rs5_a_record_there_is_no_room_for_ends_the_stream(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await studio.created()
    async with listening(studio.client, job) as events:
        await events.until(1)
        monkeypatch.setattr("gateway.web.room.Room.hold", _refuse)
        studio.move(job, "success")
        assert len(await events.end()) == 1
    assert events.retry == 2000


def _refuse(*_: object) -> None:
    raise Refusal(Code.OVERLOADED, "No room.")


async def test_a_second_stream_is_told_the_record_of_a_job_that_memory_has_no_room_for(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.memory.JobMemory.remember", lambda *_: None)
    job = await studio.created()
    async with listening(studio.client, job) as first:
        told = await first.until(1)
        async with listening(studio.client, job) as second:
            assert await second.until(1) == told
            looked = studio.looks(job)
            await studio.house.eventually(lambda: studio.looks(job) >= looked + 2)
        assert first.received == told


async def test_a_large_record_arrives_whole(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.jobs[job] |= {"status": "success", "outcome": {"inlineData": "QUJD" * 300_000}}
    async with listening(studio.client, job) as events:
        (only,) = await events.end()
    assert only.data == (await studio.client.get(f"{Q}/requests/{job}")).content


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'{\n  "a": 1\n}\n', [b"{", b'  "a": 1', b"}", b""]),
        (b'{\r\n"a":\r1}', [b"{", b'"a":', b"1}"]),
        (b'\n\n{"event: x": "id: y"}', [b"", b"", b'{"event: x": "id: y"}']),
        (b'{"a":"\\n\\r \xe2\x80\xa8"}', [b'{"a":"\\n\\r \xe2\x80\xa8"}']),
    ],
)
def test_a_record_of_many_lines_is_an_event_of_many_lines(body: bytes, lines: list[bytes]) -> None:
    event = b"".join(event_of(Seen(Answer(200, (), body), 0.0, terminal=False, etag=b'"tag"')))
    data = b"".join(b"data: %s\n" % line for line in lines)
    assert event == b"event: status\nid: tag\n" + data + b"\n"
