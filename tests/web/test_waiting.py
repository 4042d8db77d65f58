"""`Prefer: wait=N` on a poll and on a create: one answer, when there is something to tell."""

import asyncio
import gc
import logging
import re
import time
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from gateway import settlement
from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.policy import Key, PolicySet, Scope, Team
from gateway.looks import Seen
from gateway.reloading import reload_policies
from gateway.upstream.client import Answer, Sent, UpstreamFailure
from gateway.web.waiting import begin_wait, check_key_again, end_with_client
from tests.conftest import Q, team
from tests.scripted_upstream import response
from tests.web.conftest import Studio, call_with

LONG = {"prefer": "wait=60"}


def polling(studio: Studio, job: str, **headers: str) -> "asyncio.Future[httpx.Response]":
    """A poll under way."""
    sent = LONG | {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.ensure_future(studio.client.get(f"{Q}/requests/{job}", headers=sent))


def creating(studio: Studio, **headers: str) -> "asyncio.Future[httpx.Response]":
    sent = LONG | {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.ensure_future(studio.client.create(headers=sent))


async def waits(studio: Studio, count: int = 1) -> None:
    await studio.house.eventually(lambda: studio.house.gw.waits.count == count)


async def test_a_fault_in_watching_the_client_is_reported_and_ends_the_wait(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> dict[str, object]:
        raise LookupError("no such message")

    call = call_with()
    call.gw, call.receive = studio.house.gw, fail
    wait = begin_wait(call, 60)
    with caplog.at_level(logging.ERROR, "gateway"):
        end_with_client(call, wait)
        await asyncio.wait_for(wait.ended, 5)
        await asyncio.sleep(0)
    studio.house.gw.waits.leave(wait)
    (record,) = caplog.records
    error = record.fields["error"]  # type: ignore[attr-defined]  # the formatter's own field
    assert (record.message, error.partition(" at ")[0]) == ("task failed", "LookupError")


async def test_an_operator_sees_how_many_wait(studio: Studio) -> None:
    job = await studio.created()
    polls = [polling(studio, job), polling(studio, job)]
    await waits(studio, 2)
    assert "gateway_requests_waiting 2.0" in (await studio.house.admin("/metrics")).text
    studio.move(job, "success")
    await asyncio.gather(*polls)
    assert "gateway_requests_waiting 0.0" in (await studio.house.admin("/metrics")).text


async def test_a_wait_counts_from_when_its_call_came(studio: Studio) -> None:
    call = call_with()
    call.gw, call.started = studio.house.gw, studio.house.gw.ticks() - 20
    wait = begin_wait(call, 60)
    assert wait.until == call.started + 60
    studio.house.gw.waits.leave(wait)


async def test_a_poll_is_answered_when_the_job_has_ended(studio: Studio) -> None:
    job = await studio.created()
    poll = polling(studio, job)
    await waits(studio)
    studio.move(job, "processing")
    looks = studio.looks(job)
    await studio.house.eventually(lambda: studio.looks(job) > looks)
    studio.move(job, "success")
    answer = await poll
    assert (answer.status_code, answer.json()["status"]) == (200, "success")
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.content == (await studio.client.get(f"{Q}/requests/{job}")).content


async def test_a_poll_is_answered_when_its_time_is_over(studio: Studio) -> None:
    job = await studio.created()
    started = time.perf_counter()
    answer = await polling(studio, job, prefer="wait=1")
    assert time.perf_counter() - started >= 1
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.headers["preference-applied"] == "wait=1"
    assert float(answer.headers["age"]) <= 1
    assert studio.house.gw.waits.count == 0


@pytest.mark.parametrize(("asked", "given"), [("wait=999999", "wait=300"), ("wait=5, wait=9", "wait=5")])
async def test_lp1_the_value_that_counts_is_told(studio: Studio, asked: str, given: str) -> None:
    job = await studio.created()
    studio.move(job, "success")
    answer = await polling(studio, job, prefer=asked)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, given)


@pytest.mark.parametrize("garbage", ["wait=-1", "wait=abc", "wait", "", "return=minimal", "wait=1e9"])
async def test_lp1_garbage_is_ignored(studio: Studio, garbage: str) -> None:
    job = await studio.created()
    for answer in (await polling(studio, job, prefer=garbage), await creating(studio, prefer=garbage)):
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert "preference-applied" not in answer.headers


async def test_a_conditional_poll_is_answered_at_the_next_change(studio: Studio) -> None:
    job = await studio.created()
    etag = (await studio.client.get(f"{Q}/requests/{job}")).headers["etag"]
    poll = polling(studio, job, if_none_match=etag)
    await waits(studio)
    studio.move(job, "processing")
    answer = await poll
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    at_once = await polling(studio, job, if_none_match=etag)
    assert at_once.content == answer.content
    unchanged = await polling(studio, job, if_none_match=answer.headers["etag"], prefer="wait=1")
    assert (unchanged.status_code, unchanged.headers["preference-applied"]) == (304, "wait=1")


async def test_a_conditional_poll_of_an_ended_job_is_answered_at_once(studio: Studio) -> None:
    job = await studio.created()
    studio.move(job, "failed")
    etag = (await studio.client.get(f"{Q}/requests/{job}")).headers["etag"]
    assert (await polling(studio, job, if_none_match=etag)).status_code == 304


async def test_a_poll_that_waits_is_told_at_once_what_will_not_pass(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"gone"}', "410 Gone")
    answer = await asyncio.wait_for(polling(studio, job), 10)
    assert (answer.status_code, answer.content) == (410, b'{"error":"gone"}')
    assert "preference-applied" not in answer.headers


async def test_a_poll_that_waits_is_told_at_once_that_the_gateways_key_is_refused(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b"{}", "401 Unauthorized")
    answer = await asyncio.wait_for(polling(studio, job), 10)
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_credentials_rejected")


async def test_a_poll_that_waits_is_told_at_once_of_an_answer_that_cannot_be_trusted(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b"<html>", media_type="text/html")
    answer = await asyncio.wait_for(polling(studio, job), 10)
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")


@pytest.mark.parametrize("before", [b"", b'{"error":"down"}'])
async def test_a_poll_that_waits_is_told_what_will_not_pass_whenever_it_comes(studio: Studio, before: bytes) -> None:
    job = await studio.created()
    if before:
        studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(before, "503 Busy")
    poll = polling(studio, job)
    await studio.house.eventually(lambda: studio.looks(job) == 1)
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"gone"}', "410 Gone")
    answer = await asyncio.wait_for(poll, 10)
    assert (answer.status_code, answer.content) == (410, b'{"error":"gone"}')


async def test_who_waits_out_an_error_does_not_keep_it_in_memory(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b"x" * 100_000, "503 Busy")
    poll = polling(studio, job)

    def first_looks() -> list[object]:
        """What is left of them; while one is asked a second time it is under way."""
        return [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and each.get_name() == "first look"]

    await studio.house.eventually(lambda: studio.looks(job) >= 2 and not first_looks())
    assert not poll.done()
    poll.cancel()


@pytest.mark.parametrize("status", ["500 Oh", "503 Busy", "429 Too Many Requests"])
async def test_a_poll_that_waits_outlasts_upstreams_error_from_its_first_look_on(studio: Studio, status: str) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"down"}', status)
    poll = polling(studio, job)
    await studio.house.eventually(lambda: studio.looks(job) == 2)
    assert not poll.done()
    del studio.upstream.answers["GET", f"{Q}/requests/{job}"]
    studio.move(job, "success")
    answer = await asyncio.wait_for(poll, 5)
    assert (answer.json()["status"], answer.headers["preference-applied"]) == ("success", "wait=60")


async def test_a_poll_that_waits_outlasts_an_upstream_that_is_away(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Answer:
        raise UpstreamFailure(Sent.NEVER, Code.UPSTREAM_UNREACHABLE, "nobody there")

    job = await studio.created()
    studio.move(job, "success")
    with monkeypatch.context() as patch:
        patch.setattr(type(studio.house.gw.upstream), "get_request", away)
        poll = polling(studio, job)
        await waits(studio)
        await asyncio.sleep(0.2)
        assert not poll.done()
    assert (await asyncio.wait_for(poll, 5)).json()["status"] == "success"


async def test_a_poll_whose_time_is_over_is_told_the_error_that_lasted(studio: Studio) -> None:
    job = await studio.created()
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"down"}', "503 Busy")
    started = time.perf_counter()
    answer = await polling(studio, job, prefer="wait=2")
    assert 2 <= time.perf_counter() - started < 4
    assert (answer.status_code, answer.content) == (503, b'{"error":"down"}')
    assert "preference-applied" not in answer.headers
    assert int(answer.headers["retry-after"]) > 0


async def test_a_poll_whose_time_is_over_is_told_the_last_record_instead_of_a_passing_error(studio: Studio) -> None:
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    studio.upstream.answers["GET", f"{Q}/requests/{job}"] = response(b'{"error":"down"}', "503 Busy")
    studio.age(job, 5)
    answer = await polling(studio, job, prefer="wait=1")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.headers["cache-status"] == "gmi-gateway; hit; detail=stale-error"
    assert int(answer.headers["age"]) >= 5
    studio.age(job, 60)
    assert (await polling(studio, job, prefer="wait=1")).status_code == 503, "it is too old now"


async def test_a_fault_in_a_look_is_not_the_last_look_for_those_who_wait(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await studio.created()
    poll = polling(studio, job)
    await studio.house.eventually(lambda: studio.looks(job) == 1)
    faults, real = [LookupError("no such thing"), LookupError("nor this")], settlement.look

    async def look(*arguments: Any) -> Seen:
        if faults:
            raise faults.pop()
        return await real(*arguments)

    monkeypatch.setattr("gateway.settlement.look", look)
    await studio.house.eventually(lambda: not faults)
    studio.move(job, "success")
    assert (await asyncio.wait_for(poll, 5)).json()["status"] == "success"


async def test_a_poll_whose_time_is_over_does_not_wait_for_an_upstream_that_hangs(studio: Studio) -> None:
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    poll = polling(studio, job, prefer="wait=2")
    await waits(studio)
    with studio.silent():
        answer = await poll
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.headers["cache-status"] == "gmi-gateway; hit; detail=stale"


async def test_a_poll_does_not_outlast_its_time_for_its_first_look(studio: Studio) -> None:
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    studio.age(job, 5)
    started = time.perf_counter()
    with studio.silent():
        answer = await polling(studio, job, prefer="wait=1")
    assert 1 <= time.perf_counter() - started < 2
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.headers["cache-status"] == "gmi-gateway; hit; detail=stale"
    upstream, gateway = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(", "))
    assert upstream >= 1000
    assert gateway < 250


async def test_a_poll_whose_time_is_over_before_anything_is_known_is_told_what_the_first_look_brings(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = type(studio.house.gw.upstream)
    real = upstream.get_request

    async def slow(*arguments: Any) -> Answer:
        await asyncio.sleep(1.6)
        return await real(*arguments)

    job = await studio.created()
    monkeypatch.setattr(upstream, "get_request", slow)
    answer = await polling(studio, job, prefer="wait=1")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.headers["cache-status"] == "gmi-gateway; fwd=miss"
    assert studio.looks(job) == 1


async def test_a_poll_of_a_job_nothing_is_known_of_does_not_wait_for_an_upstream_that_hangs(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.jobs._FIRST_WORD", 0.5)
    job = await studio.created()
    with studio.silent():
        answer = await asyncio.wait_for(polling(studio, job, prefer="wait=1"), 5)
    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
    assert "preference-applied" not in answer.headers


async def test_sh2_a_drain_ends_a_wait_of_which_nothing_is_known_yet(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        poll = polling(studio, job)
        await waits(studio)
        studio.house.gw.waits.end_all()
        answer = await asyncio.wait_for(poll, 1)
    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")


async def test_sh2_a_drain_ends_a_wait_that_has_not_had_its_first_look(studio: Studio) -> None:
    job = await studio.created()
    await studio.client.get(f"{Q}/requests/{job}")
    studio.age(job, 5)
    with studio.silent():
        poll = polling(studio, job)
        await waits(studio)
        studio.house.gw.waits.end_all()
        answer = await asyncio.wait_for(poll, 1)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


async def test_au8_a_wait_that_has_not_had_its_first_look_ends_with_its_key(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        poll = polling(studio, job)
        await waits(studio)
        (studio.house.policies / "a.yaml").write_text(team("a", "another"))
        answer = await asyncio.wait_for(poll, 5)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")
    upstream, gateway = (float(part.partition("dur=")[2]) for part in answer.headers["server-timing"].split(","))
    assert upstream > gateway, "to wait for a job is no work of the gateway's"


async def test_a_client_that_leaves_before_anything_is_known_gives_its_place_back(studio: Studio) -> None:
    job = await studio.created()
    with studio.silent():
        poll = polling(studio, job)
        await waits(studio)
        await studio.house.eventually(lambda: studio.house.gw.jobs.looks.is_under_way(job))
        poll.cancel()
        await waits(studio, 0)


async def test_a_create_is_answered_with_the_finished_record(studio: Studio) -> None:
    create = creating(studio)
    await waits(studio)
    await studio.house.eventually(lambda: studio.upstream.jobs)
    (job,) = studio.upstream.jobs
    studio.move(job, "success")
    answer = await create
    polled = await studio.client.get(f"{Q}/requests/{job}")
    assert (answer.status_code, answer.content) == (polled.status_code, polled.content)
    assert answer.headers["preference-applied"] == "wait=60"
    assert answer.json()["status"] == "success"


async def test_an_answer_that_waited_tells_the_limits_as_they_are_by_then(studio: Studio) -> None:
    (studio.house.policies / "a.yaml").write_text(team("a", "key-a", "limits: [600 requests per day]"))
    await reload_policies(studio.house.gw)
    job = await studio.created()
    poll, create = polling(studio, job), creating(studio)
    await waits(studio, 2)
    await studio.house.eventually(lambda: len(studio.upstream.jobs) == 2)
    left = requests_left(await studio.client.get(f"{Q}/requests/{job}"))
    for each in studio.upstream.jobs:
        studio.move(each, "success")
    assert [requests_left(await each) for each in (poll, create)] == [left, left]


def requests_left(answer: httpx.Response) -> int:
    """What is left of the limit on requests, by the answer's `RateLimit`."""
    found = re.search(r'"requests-day";r=(\d+)', answer.headers["ratelimit"])
    assert found is not None
    return int(found[1])


async def test_a_create_whose_time_is_over_is_answered_as_ever(studio: Studio) -> None:
    answer = await creating(studio, prefer="wait=1")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert "outcome" not in answer.json()
    assert answer.headers["preference-applied"] == "wait=1"


async def test_a_create_that_is_refused_waits_for_nothing(studio: Studio) -> None:
    studio.upstream.answers["POST", f"{Q}/requests"] = response(b'{"error":"no"}', "400 Bad Request")
    answer = await creating(studio)
    assert (answer.status_code, answer.content) == (400, b'{"error":"no"}')
    assert "preference-applied" not in answer.headers


async def test_a_job_that_has_ended_in_its_create_is_told_at_once(studio: Studio) -> None:
    body = (
        b'{"request_id":"0d9b3f0e-6a51-4c1e-9d53-0c6a4c2f7f11","model":"Veo3","status":"success","outcome":{},'
        b'"payload":{},"created_at":1,"updated_at":1,"queued_at":1}'
    )
    studio.upstream.answers["POST", f"{Q}/requests"] = response(body)
    assert (await creating(studio)).content == body


def live_jobs(studio: Studio) -> list[str]:
    return [name for name, job in studio.upstream.jobs.items() if job["status"] != "success"]


async def test_a_slot_is_free_when_the_end_is_told(studio: Studio) -> None:
    policy = team("a", "key-a", "limits: [1 jobs at once]")
    (studio.house.policies / "a.yaml").write_text(policy)
    await studio.house.eventually(lambda: studio.house.gw.policies.current.teams["a"].limits)
    for _ in range(5):
        create = creating(studio)
        await studio.house.eventually(lambda: live_jobs(studio))
        (job,) = live_jobs(studio)
        studio.move(job, "success")
        assert (await create).json()["status"] == "success"


async def test_id1_a_repeat_that_waits_is_told_the_end_of_the_first(studio: Studio) -> None:
    key = {"idempotency_key": "order-1"}
    await creating(studio, prefer="wait=1", **key)
    (job,) = studio.upstream.jobs
    repeat = creating(studio, **key)
    await waits(studio)
    studio.move(job, "success")
    answer = await repeat
    assert (answer.json()["status"], answer.headers["idempotency-replayed"]) == ("success", "true")
    at_once = await creating(studio, **key)
    assert (at_once.content, len(studio.upstream.creates)) == (answer.content, 1)


async def test_a_repeat_after_a_restart_is_told_the_end_from_the_ledger(studio: Studio) -> None:
    key = {"idempotency_key": "order-1"}
    first = creating(studio, **key)
    await studio.house.eventually(lambda: studio.upstream.jobs)
    (job,) = studio.upstream.jobs
    studio.move(job, "success")
    record = (await first).content
    studio.house.gw.jobs.forget(job)
    looks = studio.looks(job)
    assert (await creating(studio, **key)).content == record
    assert studio.looks(job) == looks


async def test_ac3_a_create_whose_client_leaves_is_a_job_all_the_same(studio: Studio) -> None:
    create = creating(studio)
    await studio.house.eventually(lambda: studio.upstream.jobs)
    await waits(studio)
    create.cancel()
    await waits(studio, 0)
    listed = (await studio.client.get(f"{Q}/requests")).json()["requests"]
    assert [record["request_id"] for record in listed] == list(studio.upstream.jobs)


async def test_rs5_a_create_that_waits_holds_its_body_no_longer(studio: Studio) -> None:
    create = asyncio.ensure_future(studio.client.create(payload={"prompt": "p" * 1_000_000}, headers=LONG))
    await studio.house.eventually(lambda: studio.upstream.jobs)
    (job,) = studio.upstream.jobs
    await studio.house.eventually(lambda: studio.looks(job) > 0)
    ((wait,),) = studio.house.gw.waits._waits.values()
    load = wait.aside.func.__self__.load  # type: ignore[attr-defined]
    assert (load.calls, load.aside, load.held) == (0, 1, 0)
    create.cancel()


def gateway_with(policy: PolicySet) -> Gateway:
    """As much of a gateway as looks at a key."""
    return cast("Gateway", SimpleNamespace(policies=SimpleNamespace(current=policy), now=lambda: 0.0))


def scoped(*scopes: Scope, team: str = "marketing") -> PolicySet:
    """The key of everybody's call, with these scopes."""
    return PolicySet({team: Team(team, keys=(Key("web", "", scopes=frozenset(scopes)),))}, {})


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (PolicySet({}, {}), Code.KEY_INVALID),
        (scoped(Scope.JOBS_READ, team="other"), Code.KEY_INVALID),
        (scoped(), Code.SCOPE_DENIED),
    ],
)
def test_au8_a_key_is_looked_at_again(policy: PolicySet, code: Code) -> None:
    call = call_with()
    call.gw = gateway_with(scoped(Scope.JOBS_READ))
    check_key_again(call)
    call.gw = gateway_with(policy)
    with pytest.raises(Refusal) as refusal:
        check_key_again(call)
    assert refusal.value.code is code
