"""What upstream refused is told again until it may be asked."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from math import ceil, inf
from typing import Any

import httpx
import pytest

from gateway import lines
from gateway.gates import close_gate, closed_gate
from gateway.lines import Line
from gateway.logs import logger
from gateway.reloading import reload_policies
from gateway.upstream.client import Answer
from gateway.waits import Waits
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import Received, response

BODY = b'{"error":"Rate limit exceeded for model Veo3: 2 requests per 60 seconds."}'
REFUSAL = Answer(429, ((b"content-type", b"application/json"), (b"retry-after", b"30")), BODY)


def pass_time(house: House, seconds: float) -> None:
    """Let every gate be that much older."""
    for place, gate in house.gw.gates.items():
        house.gw.gates[place] = replace(gate, opens_at=gate.opens_at - seconds)


def told(milliseconds: int, pace: str = "", **limit: object) -> dict[str, object]:
    """The body of upstream's refusal told again."""
    sentence = f"Rate limit exceeded for model Veo3{pace}. Retry in {milliseconds} ms."
    return {"error": sentence, "rate_limit": {**limit, "retry_after_ms": milliseconds}}


def time_left(body: bytes, most: int) -> int:
    """The milliseconds of a refusal told again: what is left of so many, in the second since they were."""
    left: int = json.loads(body)["rate_limit"]["retry_after_ms"]
    assert most - 1000 < left <= most
    return left


async def test_up10_a_refusal_is_told_again_with_the_time_that_is_left(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    limit = {"limit_type": "RPM", "limit": 2, "interval_seconds": 60}
    first = json.dumps({"error": "slow", "rate_limit": {**limit, "retry_after_ms": 29970}}).encode()
    close_gate(gw, "default", "Veo3", Answer(429, ((b"retry-after", b"30"),), first))
    pass_time(house, 9.5)

    again = closed_gate(gw, "default", "Veo3")

    assert again is not None
    left = time_left(again.body, 20470)
    assert (again.status, json.loads(again.body)) == (429, told(left, ": 2 requests per 60 seconds", **limit))
    assert again.headers == ((b"content-type", b"application/json"), (b"retry-after", b"21"))


async def test_who_comes_while_others_wait_is_told_when_upstream_has_room_again(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    limit: dict[str, str | int] = {"limit": 1, "interval_seconds": 60}
    body = json.dumps({"error": "slow", "rate_limit": {**limit, "retry_after_ms": 1000}}).encode()
    close_gate(gw, "default", "Veo3", Answer(429, ((b"retry-after", b"1"),), body))
    pass_time(house, 1)
    line = gw.lines["default", "Veo3"] = Line()
    for team_name in "ab":
        line.join(team_name)
    line.let_through(limit, gw.ticks())
    again = closed_gate(gw, "default", "Veo3")
    assert again is not None
    assert json.loads(again.body) == told(1000, ": 1 requests per 60 seconds", **limit), "nobody knows yet"
    line.done("a", gw.ticks() - 20, accepted=True)
    again = closed_gate(gw, "default", "Veo3")
    assert again is not None
    left = time_left(again.body, 40_000)
    assert json.loads(again.body) == told(left, ": 1 requests per 60 seconds", **limit)


async def test_az7_nothing_else_of_the_first_answer_is_told_again(open_house: OpenHouse) -> None:
    gw = (await open_house({"a.yaml": team("a", "key")})).gw
    headers = ((b"content-type", b"text/html"), (b"retry-after", b"9"), (b"x-job-id", b"canary"))
    canaries = {"error": "prompt canary", "request_id": "canary"}
    body = {**canaries, "rate_limit": {"limit_type": "canary of a prompt: no short word", "limit": "canary", "more": 1}}
    close_gate(gw, "default", "Veo3", Answer(429, headers, json.dumps(body).encode()))

    again = closed_gate(gw, "default", "Veo3")

    assert again is not None
    assert json.loads(again.body) == told(time_left(again.body, 9000))
    assert dict(again.headers) == {b"content-type": b"application/json", b"retry-after": b"9"}


async def test_that_a_model_is_limited_is_logged_once_until_its_gate_opens(
    open_house: OpenHouse, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])
    answer = Answer(429, ((b"retry-after", b"30"),), b"{}")
    close_gate(gw, "default", "Veo3", answer)
    close_gate(gw, "default", "Veo3", answer)
    pass_time(house, 30)
    close_gate(gw, "default", "Veo3", answer)
    told = [vars(record)["fields"] for record in caplog.records if record.msg == "upstream limits a model"]
    assert told == [{"credential": "default", "model": "Veo3", "seconds": 30}] * 2


async def test_up10_only_that_model_of_that_credential_is_closed_and_only_for_so_long(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    close_gate(gw, "default", "Veo3", REFUSAL)
    assert closed_gate(gw, "default", "Veo3-Fast") is None
    assert closed_gate(gw, "studio", "Veo3") is None
    pass_time(house, 30)
    assert closed_gate(gw, "default", "Veo3") is None


async def test_up10_a_gate_opens_at_the_millisecond_that_upstream_names(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    body = b'{"error":"slow","rate_limit":{"retry_after_ms":5400}}'
    close_gate(gw, "default", "Veo3", Answer(429, ((b"retry-after", b"6"),), body))
    pass_time(house, 5)
    again = closed_gate(gw, "default", "Veo3")
    assert again is not None
    assert json.loads(again.body) == told(time_left(again.body, 400))
    assert dict(again.headers)[b"retry-after"] == b"1", "in whole seconds, and none of them too few"
    pass_time(house, 0.4)
    assert closed_gate(gw, "default", "Veo3") is None


async def test_up10_of_two_refusals_the_one_that_lasts_longer_counts(open_house: OpenHouse) -> None:
    gw = (await open_house({"a.yaml": team("a", "key")})).gw
    close_gate(gw, "default", "Veo3", REFUSAL)
    close_gate(gw, "default", "Veo3", Answer(429, ((b"retry-after", b"2"),), b"{}"))
    again = closed_gate(gw, "default", "Veo3")
    assert again is not None
    assert dict(again.headers)[b"retry-after"] == b"30"


async def test_ca2_gates_that_opened_are_forgotten(open_house: OpenHouse) -> None:
    gw = (house := await open_house({"a.yaml": team("a", "key")})).gw
    for number in range(5):
        close_gate(gw, "default", f"model-{number}", REFUSAL)
        pass_time(house, 30)
    assert list(gw.gates) == [("default", "model-4")]


FAIR = "queueing: [{models: [Veo3], fair: true}]\n"
TEAMS = {f"{name}.yaml": team(name, f"key-{name}") for name in "abc"}
WAIT = {"Prefer": "wait=30"}
CREATE = ("POST", f"{Q}/requests")


class Rush:
    """Teams that all want one model, in front of an upstream that refuses it for a while."""

    def __init__(self, house: House, upstream: FakeUpstream) -> None:
        self.house = house
        self.upstream = upstream
        self.creates: dict[str, asyncio.Future[httpx.Response]] = {}

    async def close(self) -> None:
        """Upstream refuses one create, which closes the gate."""
        self.upstream.answers[CREATE] = response(BODY, "429 Too Many Requests", "Retry-After: 300")
        assert (await self.house.client("key-a").create()).status_code == 429
        del self.upstream.answers[CREATE]

    def open(self) -> None:
        """The gate's time is over."""
        pass_time(self.house, 300)
        for line in self.house.gw.lines.values():
            line.moved.set()

    async def queue(self, name: str, **headers: str) -> None:
        """A create such as `a1`, of the team that its name begins with, that waits; it stands in line afterwards."""
        waiting = self.length()
        sent = WAIT | headers
        client = self.house.client(f"key-{name[0]}")
        self.creates[name] = asyncio.ensure_future(client.create(payload={"prompt": name}, headers=sent))
        await self.house.eventually(lambda: self.length() == waiting + 1)

    def length(self) -> int:
        return sum(map(len, self.house.gw.lines.values()))

    def sent(self) -> list[str]:
        """What upstream was asked for, in order, after the first that was refused."""
        return [json.loads(each.body)["payload"]["prompt"] for each in self.upstream.creates[1:]]

    async def finish(self) -> dict[str, int]:
        """Every job ends; the status of each create."""
        answers: dict[str, int] = {}
        for name, create in self.creates.items():
            while not create.done():
                for job in self.upstream.jobs.values():
                    job["status"] = "success"
                await asyncio.sleep(0.02)
            answers[name] = create.result().status_code
        return answers

    async def books(self) -> tuple[int, int]:
        """Reservations without a job, and counters that are wrong."""
        ledger = self.house.gw.ledger
        return len(await ledger.jobless.all()), len(await ledger.verify())


@pytest.fixture
async def rush(open_house: OpenHouse) -> AsyncIterator[Rush]:
    async with FakeUpstream() as upstream:
        limited = team("a", "key-a", "limits: [3 jobs per day]")
        house = await open_house(TEAMS | {"a.yaml": limited, "gateway.yaml": FAIR}, upstream=upstream.url)
        rush = Rush(house, upstream)
        await rush.close()
        yield rush


async def test_waiting_creates_are_let_through_when_the_gate_opens(rush: Rush) -> None:
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        await rush.queue(name)
    assert (rush.sent(), await rush.books()) == ([], (0, 0))
    rush.open()
    assert set((await rush.finish()).values()) == {200}
    assert (rush.sent()[0], sorted(rush.sent())) == ("a1", ["a1", "a2", "a3", "b1", "b2", "c1"])
    assert rush.house.gw.lines == {}


async def test_one_at_a_time_and_team_by_team_while_upstream_refuses(rush: Rush) -> None:
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        await rush.queue(name)
    rush.upstream.answers[CREATE] = response(BODY, "429 Too Many Requests", "Retry-After: 300")
    for first in ("a1", "b1", "c1", "a2", "b2"):
        rush.open()
        answer = await rush.creates[first]
        assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (429, BODY, "300")
    assert rush.sent() == ["a1", "b1", "c1", "a2", "b2"]
    assert (rush.length(), await rush.books()) == (1, (0, 0))


async def test_who_does_not_wait_is_told_at_once_and_overtakes_nobody(rush: Rush) -> None:
    client = rush.house.client("key-b")
    assert (await client.create()).headers["retry-after"] == "300"
    rush.upstream.go.clear()
    for name in ("a1", "a2"):
        await rush.queue(name)
    rush.open()
    await rush.house.eventually(lambda: rush.sent() == ["a1"])
    refused = await client.create()
    assert (refused.status_code, refused.json(), refused.headers["retry-after"]) == (429, told(1000), "1")
    rush.upstream.go.set()
    await rush.finish()
    assert rush.sent() == ["a1", "a2"]
    assert (await client.create()).status_code == 200


async def test_a_create_that_upstream_keeps_waiting_keeps_nobody_else_waiting(
    rush: Rush, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.2)
    rush.upstream.go.clear()
    for name in ("a1", "b1", "c1", "b2"):
        await rush.queue(name)
    rush.open()
    await rush.house.eventually(lambda: rush.sent() == ["a1"])
    await rush.house.eventually(lambda: rush.sent()[1:] == ["b1"])
    await rush.house.eventually(lambda: rush.sent()[2:] == ["c1", "b2"])
    await rush.house.eventually(lambda: rush.house.gw.lines == {})
    rush.upstream.go.set()
    assert set((await rush.finish()).values()) == {200}
    assert await rush.books() == (0, 0)


async def test_who_leaves_the_line_has_asked_for_nothing(rush: Rush) -> None:
    for name in ("a1", "b1"):
        await rush.queue(name)
    rush.creates.pop("a1").cancel()
    await rush.house.eventually(lambda: rush.length() == 1)
    rush.open()
    await rush.finish()
    assert (rush.sent(), await rush.books()) == (["b1"], (0, 0))
    assert await rush.house.used("jobs", "a") == 0


async def test_who_leaves_as_its_turn_comes_has_asked_for_nothing(rush: Rush, monkeypatch: pytest.MonkeyPatch) -> None:
    let_through = Line.let_through

    def and_leave(line: Line, *arguments: Any) -> float:
        left = let_through(line, *arguments)
        rush.house.gw.waits.end_all()
        return left

    await rush.queue("a1")
    monkeypatch.setattr(Line, "let_through", and_leave)
    rush.open()
    answer = await rush.creates["a1"]
    assert (answer.status_code, answer.json()) == (429, told(1000))
    await rush.house.eventually(lambda: rush.house.gw.lines == {})
    assert (rush.sent(), await rush.books()) == ([], (0, 0))


async def test_a_limit_is_checked_when_the_turn_has_come(rush: Rush) -> None:
    for number in range(5):
        await rush.queue(f"a{number}")
    rush.open()
    assert sorted((await rush.finish()).values()) == [200, 200, 200, 429, 429]
    assert (await rush.house.used("jobs", "a"), len(rush.sent())) == (3, 3)


async def test_the_refusal_is_remembered_as_long_as_creates_wait_in_line(rush: Rush) -> None:
    rush.upstream.go.clear()
    for name in ("a1", "a2"):
        await rush.queue(name)
    await rush.queue("b1", Prefer="wait=1")
    rush.open()
    close_gate(rush.house.gw, "default", "Kling", REFUSAL)
    assert (await rush.house.client("key-c").create()).json() == (await rush.creates.pop("b1")).json() == told(1000)
    rush.upstream.go.set()
    assert await rush.finish() == {"a1": 200, "a2": 200}


async def test_a_wait_that_is_over_in_line_is_told_the_refusal_again(rush: Rush) -> None:
    await rush.queue("a1", Prefer="wait=1")
    answer = await rush.creates["a1"]
    assert (answer.status_code, "preference-applied" in answer.headers) == (429, False)
    left = answer.json()["rate_limit"]["retry_after_ms"]
    assert 290_000 < left < 300_000
    assert answer.json() == told(left)
    assert answer.headers["retry-after"] == f"{ceil(left / 1000)}"
    await rush.house.eventually(lambda: rush.house.gw.lines == {})
    assert (rush.sent(), await rush.books()) == ([], (0, 0))


@pytest.mark.parametrize("change", ["revoked", "expired"])
async def test_au8_no_create_stands_in_line_for_longer_than_its_key_is_good(rush: Rush, change: str) -> None:
    for name in ("a1", "b1"):
        await rush.queue(name)
    without = team("b", "another")
    expired = team("b", "key-b").replace("    hash", "    expires: 2026-01-01\n    hash")
    (rush.house.policies / "b.yaml").write_text(without if change == "revoked" else expired)
    async with asyncio.timeout(5):
        answer = await rush.creates.pop("b1")
    assert (answer.status_code, answer.json()["code"]) == (401, f"key_{'invalid' if change == 'revoked' else change}")
    rush.open()
    assert await rush.finish() == {"a1": 200}
    assert (rush.sent(), await rush.books()) == (["a1"], (0, 0))


@pytest.mark.parametrize(
    ("change", "code"),
    [("revoked", "key_invalid"), ("dropped", "key_invalid"), ("moved", "key_invalid"), ("expired", "key_expired")],
)
async def test_au8_no_create_is_sent_whose_key_is_not_good_any_more_when_its_turn_has_come(
    rush: Rush, monkeypatch: pytest.MonkeyPatch, change: str, code: str
) -> None:
    monkeypatch.setattr(Waits, "review", lambda *_: None)  # which ends its wait a moment later
    for name in ("b1", "a1", "b2"):
        await rush.queue(name)
    policies = rush.house.policies
    expired = team("b", "key-b").replace("    hash", "    expires: 2026-01-01\n    hash")
    (policies / "b.yaml").write_text(expired if change == "expired" else team("b", "another"))
    if change == "dropped":
        (policies / "b.yaml").unlink()
    if change == "moved":
        (policies / "c.yaml").write_text(team("c", "key-b"))
    assert await reload_policies(rush.house.gw)
    rush.open()
    assert await rush.finish() == {"b1": 401, "a1": 200, "b2": 401}
    assert rush.creates["b1"].result().json()["code"] == code
    assert (rush.sent(), await rush.books()) == (["a1"], (0, 0))
    assert [await rush.house.used("jobs", name) for name in "abc"] == [1, 0, 0]
    assert rush.house.gw.lines == {}


async def test_creates_that_stand_in_line_when_the_team_begins_to_merge_duplicates_are_none(rush: Rush) -> None:
    for name in ("b1", "b2"):
        await rush.queue(name)
    await rush.queue("b3", **{"Idempotency-Key": "order-1"})
    (rush.house.policies / "b.yaml").write_text(team("b", "key-b", "duplicates: {window: 60 s}"))
    assert await reload_policies(rush.house.gw)
    rush.open()
    assert set((await rush.finish()).values()) == {200}
    answers = {name: create.result() for name, create in rush.creates.items()}
    assert [answer.json()["payload"]["prompt"] for answer in answers.values()] == [*answers]
    assert not any("idempotency-replayed" in answer.headers for answer in answers.values())
    assert (rush.sent(), await rush.books()) == (["b1", "b2", "b3"], (0, 0))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("limits: [0 jobs per day]", 429),
        ("models: {allow: [Sora]}", 403),
        ("models: {allow: ['*'], deny: [Veo3]}", 403),
    ],
)
async def test_qu6_a_create_in_line_is_judged_by_the_policy_of_its_turn(rush: Rush, change: str, status: int) -> None:
    for name in ("b1", "c1", "b2"):
        await rush.queue(name)
    (rush.house.policies / "b.yaml").write_text(team("b", "key-b", change))
    assert await reload_policies(rush.house.gw)
    rush.open()
    assert await rush.finish() == {"b1": status, "c1": 200, "b2": status}
    assert (rush.sent(), await rush.books()) == (["c1"], (0, 0))


async def test_a_repeat_has_its_answer_without_standing_in_line(rush: Rush) -> None:
    rush.open()
    client, sent = rush.house.client("key-b"), {"Idempotency-Key": "order-1"}
    first = await client.create(headers=sent)
    await rush.close()
    for job in rush.upstream.jobs.values():
        job["status"] = "success"
    again = await client.create(headers=sent | WAIT)
    assert (again.json()["request_id"], again.headers["idempotency-replayed"]) == (first.json()["request_id"], "true")
    assert rush.length() == 0


async def test_a_model_that_is_not_fair_has_no_line(rush: Rush) -> None:
    rush.upstream.answers[CREATE] = response(BODY, "429 Too Many Requests", "Retry-After: 300")
    client = rush.house.client("key-b")
    for _ in range(2):
        assert (await client.create("Veo3-Fast", headers=WAIT)).status_code == 429
    assert (len(rush.upstream.creates), rush.length()) == (2, 0)


async def test_a_first_answer_given_again_lets_no_more_through(rush: Rush, monkeypatch: pytest.MonkeyPatch) -> None:
    done = Line.done
    heard: list[tuple[bool, bool]] = []

    def listen(line: Line, team: str, ticks: float, **answer: bool) -> None:
        heard.append((answer["accepted"], answer["sent"]))
        done(line, team, ticks, **answer)

    monkeypatch.setattr(Line, "done", listen)
    key = {"Idempotency-Key": "k"}
    await rush.queue("a1", **key)
    again = rush.house.client("key-a").create(payload={"prompt": "a1"}, headers=WAIT | key)
    rush.creates["a1 again"] = asyncio.ensure_future(again)
    await rush.house.eventually(lambda: rush.length() == 2)
    rush.open()
    assert await rush.finish() == {"a1": 200, "a1 again": 200}
    assert rush.sent() == ["a1"]
    assert heard == [(True, True), (False, False)]


class LimitedUpstream(FakeUpstream):
    """It takes one create in any span of a second, and says so. One of the team `refused` it takes and refuses."""

    last = -inf
    refused = ""

    def _answer(self, request: Received) -> bytes:
        now = time.monotonic()
        if request.method != "POST" or now - self.last >= 1:
            self.last = now if request.method == "POST" else self.last
            if request.body and json.loads(request.body)["payload"].get("team") == self.refused:
                return response(b'{"error": "no"}', "400 Bad Request")
            answer = super()._answer(request)
            for job in self.jobs.values():
                job["status"] = "success"
            return answer
        limit = {"limit_type": "RPM", "limit": 1, "interval_seconds": 1}
        body = {"error": "slow down", "rate_limit": limit | {"retry_after_ms": ceil(1000 * (1 - now + self.last))}}
        return response(json.dumps(body).encode(), "429 Too Many Requests")


async def test_none_is_sent_only_to_be_refused_where_upstream_says_what_it_takes(open_house: OpenHouse) -> None:
    async with LimitedUpstream() as upstream:
        house = await open_house(TEAMS | {"gateway.yaml": FAIR}, upstream=upstream.url)
        assert [(await house.client("key-a").create()).status_code for _ in range(2)] == [200, 429]
        waiting = {"Prefer": "wait=60"}
        creates = [house.client(f"key-{name}").create(payload={"team": name}, headers=waiting) for name in "aabbcc"]
        answers = await asyncio.gather(*creates)
        assert [answer.status_code for answer in answers] == [200] * 6
        sent = [json.loads(each.body)["payload"]["team"] for each in upstream.creates[2:]]
        assert sent == [*"abcabc"]


async def test_creates_that_upstream_refuses_are_counted_as_it_counts_them(open_house: OpenHouse) -> None:
    async with LimitedUpstream() as upstream:
        upstream.refused = "a"
        house = await open_house(TEAMS | {"gateway.yaml": FAIR}, upstream=upstream.url)
        assert [(await house.client("key-a").create()).status_code for _ in range(2)] == [200, 429]
        waiting = {"Prefer": "wait=60"}
        creates = [house.client(f"key-{name}").create(payload={"team": name}, headers=waiting) for name in "aaabc"]
        assert [answer.status_code for answer in await asyncio.gather(*creates)] == [400, 400, 400, 200, 200]
        assert len(upstream.creates) == 2 + 5
