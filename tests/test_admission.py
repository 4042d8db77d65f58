"""A job is created: what it takes, what upstream receives, and what comes back when there is no job."""

import asyncio
import gc
import re
from math import ceil

import pytest

from gateway import recovery, settlement
from gateway.context import Gateway
from gateway.core.breaker import FAILURES_TO_OPEN
from gateway.core.lifecycle import State
from gateway.core.wire import Payload
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from tests.conftest import OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response

THREE_WAYS = {
    "counts": ("limits: [10 jobs per day]", "jobs", 1, 429, "quota_exceeded"),
    "slots": ("limits: [10 jobs at once]", "jobs", 1, 429, "concurrency_exceeded"),
    "money": ("limits: [32 USD per month]", "USD", 3_200_000, 402, "budget_exceeded"),
}


@pytest.mark.parametrize("way", THREE_WAYS)
async def test_qu1_two_hundred_parallel_creates_against_a_limit_of_ten(open_house: OpenHouse, way: str) -> None:
    limits, unit, each, status, code = THREE_WAYS[way]
    house = await open_house({"a.yaml": team("a", "key", limits)}, speed=1)
    client = house.client("key")

    answers = await asyncio.gather(*(client.create() for _ in range(200)))

    admitted = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(admitted) == 10
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(status, code)}
    assert house.received("create_request") == 10
    assert await house.used(unit, "a") == 10 * each
    assert await house.gw.ledger.verify() == []


async def test_qu2_an_unreachable_upstream_gives_everything_back_and_then_ten_succeed(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [10 jobs per day]")}, upstream="http://127.0.0.1:1")
    answers = await asyncio.gather(*(house.client("key").create() for _ in range(100)))
    # While ten creates hold the whole limit, the others are rightly told that it is full.
    assert {answer.status_code for answer in answers} <= {502, 429}
    assert await house.used("jobs", "a") == 0

    healed = await open_house({})
    later = [(await healed.client("key").create()).status_code for _ in range(11)]
    assert later == [200] * 10 + [429]


@pytest.mark.parametrize("written", [True, False], ids=["written", "not-written"])
async def test_le5_a_create_that_could_not_be_marked_as_sent_holds_nothing(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [1 jobs at once]")})
    mark_sent = Ledger.mark_sent

    async def unheard(ledger: Ledger, reservation_id: str, now: float) -> bool:
        if written:
            await mark_sent(ledger, reservation_id, now)
        raise LedgerUnavailable("the ledger does not answer")

    monkeypatch.setattr(Ledger, "mark_sent", unheard)
    answer = await house.client("key").create()
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    assert house.received("create_request") == 0
    assert await house.used("jobs", "a") == 0
    assert await house.gw.ledger.jobless.all() == []
    monkeypatch.setattr(Ledger, "mark_sent", mark_sent)
    assert (await house.client("key").create()).status_code == 200


async def test_qu4_a_full_limit_leaves_every_other_counter_alone(open_house: OpenHouse) -> None:
    last = "{limit: 1 jobs per hour, models: [Veo3], name: last}"
    limits = f"limits: [100 jobs per day, {{limit: 100 USD per month}}, {last}]"
    house = await open_house({"a.yaml": team("a", "key", limits)})
    client = house.client("key")
    assert (await client.create()).status_code == 200
    before = await house.gw.ledger.used(await house.counters())

    refused = await client.create()

    assert refused.status_code == 429
    assert refused.json()["quota"]["name"] == "last"
    assert await house.gw.ledger.used(await house.counters()) == before


async def test_qu6_a_limit_lowered_below_its_use_shows_nothing_left_and_a_raised_one_admits(
    open_house: OpenHouse,
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [3 jobs per day]")})
    client = house.client("key")
    for _ in range(3):
        assert (await client.create()).status_code == 200

    async def with_limit(limit: str) -> int:
        (house.policies / "a.yaml").write_text(team("a", "key", f"limits: [{limit}]"))
        assert (await house.http.post(f"{house.running.admin_url}/reload")).status_code == 200
        answer = await client.create()
        return int(answer.status_code)

    assert await with_limit("1 jobs per day") == 429
    usage = (await client.get("/gateway/v1/usage")).json()
    assert (usage["limits"][0]["used"], usage["limits"][0]["remaining"]) == (3, 0)
    assert await with_limit("4 jobs per day") == 200
    assert await with_limit("0 jobs per day") == 429


async def test_qu7_a_refusal_says_when_to_come_back_in_every_way(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [1 jobs per day]")})
    client = house.client("key")
    await client.create(headers={"Idempotency-Key": "first"})

    refused = await client.create(headers={"Idempotency-Key": "second"})

    body = refused.json()
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) * 1000 == body["rate_limit"]["retry_after_ms"]
    assert body["rate_limit"]["limit_type"] == "jobs per day"
    assert body["quota"]["limit"] == body["quota"]["used"] == 1
    assert house.received("create_request") == 1
    (house.policies / "a.yaml").write_text(team("a", "key", "limits: [2 jobs per day]"))
    await house.http.post(f"{house.running.admin_url}/reload")
    assert (await client.create(headers={"Idempotency-Key": "second"})).status_code == 200


async def test_bu1_a_budget_of_ten_takes_three_creates_at_three(open_house: OpenHouse) -> None:
    prices = "prices: [{models: [Veo3], usd: 3, per: job}]"
    house = await open_house({"a.yaml": team("a", "key", "limits: [10 USD per month]"), "p.yaml": prices})
    answers = await asyncio.gather(*(house.client("key").create() for _ in range(100)))
    assert sorted({answer.status_code for answer in answers}) == [200, 402]
    assert sum(answer.status_code == 200 for answer in answers) == 3
    refused = next(answer for answer in answers if answer.status_code == 402).json()
    assert (refused["code"], refused["price"], refused["left"]) == ("budget_exceeded", 3, 1)


async def test_bu3_a_job_nobody_can_price_is_refused_to_a_team_with_a_budget(open_house: OpenHouse) -> None:
    unpriced = "2f1c7a9e-5b0d-4c3e-9a76-0d8e4b6f1a25"
    files = {"a.yaml": team("a", "key", "limits: [10 USD per month]"), "b.yaml": team("b", "other")}
    house = await open_house(files)
    refused = await house.client("key").create(unpriced)
    assert (refused.status_code, refused.json()["code"]) == (403, "price_unknown")
    assert house.received("create_request") == 0
    assert (await house.client("other").create(unpriced)).status_code == 200


async def test_a_shadow_limit_counts_and_lets_pass(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [{limit: 1 jobs per day, mode: shadow}]")})
    for _ in range(3):
        assert (await house.client("key").create()).status_code == 200
    metrics = (await house.admin("/metrics")).text
    assert 'gateway_quota_shadow_denied_total{limit="jobs-day",team="a"} 2.0' in metrics


async def test_each_key_may_have_a_count_of_its_own(open_house: OpenHouse) -> None:
    policy = team("a", "one", "limits: [{limit: 1 jobs per day, per: key}]").replace(
        "models:", "  - {name: second, hash: " + team("x", "two").split("hash: ")[1].split("\n")[0] + "}\nmodels:"
    )
    house = await open_house({"a.yaml": policy})
    assert [(await house.client("one").create()).status_code for _ in range(2)] == [200, 429]
    assert (await house.client("two").create()).status_code == 200


@pytest.mark.parametrize(("fault", "status"), [("402", 402), ("429", 429)])
async def test_up12_a_refusal_of_upstream_passes_untouched_and_gives_everything_back(
    open_house: OpenHouse, fault: str, status: int
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day, {limit: 5 USD per month}]")})
    house.break_upstream(f"create_request:{fault}")
    answer = await house.client("key").create()
    assert answer.status_code == status
    assert "code" not in answer.json()
    assert (await house.used("jobs", "a"), await house.used("USD", "a")) == (0, 0)
    assert "ratelimit" not in answer.headers, "nothing is told of what was given back"
    if status == 429:
        assert answer.headers["retry-after"] == str(-(-answer.json()["rate_limit"]["retry_after_ms"] // 1000))


async def test_up9_a_refused_real_key_is_never_shown_as_the_callers(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")})
    house.break_upstream("create_request:401")
    answer = await house.client("key").create()
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_credentials_rejected")
    assert "www-authenticate" not in answer.headers
    assert await house.used("jobs", "a") == 0


async def test_rs5_creates_are_answered_however_little_memory_there_is_for_answers(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budget.LEAST_BODIES", 400_000)
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key")}, upstream=upstream.url, max_body="64 KiB")
        client = house.client("key")
        record = b'{"request_id":"r","model":"Veo3","status":"success","outcome":{"a":"%s"}}' % (b"x" * 2_000_000)
        upstream.answers["POST", f"{Q}/requests"] = response(record)
        answer = await client.create()
        assert (answer.status_code, answer.content) == (200, record)
        assert (await client.get(f"{Q}/requests/r")).content == record


async def test_while_upstream_works_a_create_holds_its_body_once(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    mark_sent, prompt, found = Ledger.mark_sent, "a lighthouse that nobody else asks for", []

    async def look(ledger: Ledger, reservation_id: str, now: float) -> bool:
        payloads = [each for each in gc.get_objects() if isinstance(each, Payload)]
        found.append([each for each in payloads if prompt in each.values()])
        return await mark_sent(ledger, reservation_id, now)

    monkeypatch.setattr(Ledger, "mark_sent", look)
    assert (await house.client("key").create(payload={"prompt": prompt})).status_code == 200
    assert found == [[]]


async def test_id1_a_repeat_with_the_same_key_gets_the_first_answer_and_pays_nothing(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")})
    client = house.client("key")
    first = await client.create(headers={"Idempotency-Key": "k"})
    again = await client.create(headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert house.received("create_request") == 1
    assert await house.used("jobs", "a") == 1


async def test_id2_the_same_key_with_another_body_is_refused(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    client = house.client("key")
    await client.create(headers={"Idempotency-Key": "k"})
    other = await client.create(payload={"prompt": "another"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_id3_of_twenty_duplicates_at_once_one_executes(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")})
    client = house.client("key")
    answers = await asyncio.gather(*(client.create(headers={"Idempotency-Key": "k"}) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 409)
    assert house.received("create_request") == 1
    assert await house.used("jobs", "a") == 1


async def test_ac3_a_create_goes_on_when_its_client_hangs_up(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [5 jobs per day]")})
    house.break_upstream("create_request:latency:0.3")
    client = house.client("key")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.create(headers={"Idempotency-Key": "k"}), 0.1)

    async def replayed() -> bool:
        answer = await client.create(headers={"Idempotency-Key": "k"})
        return answer.status_code == 200 and "idempotency-replayed" in answer.headers

    await house.eventually(replayed)
    assert house.received("create_request") == 1
    listed = (await client.get(f"{Q}/requests")).json()
    assert listed["total"] == 1


async def test_up10_after_upstreams_429_the_next_creates_are_answered_alike_without_asking(
    open_house: OpenHouse,
) -> None:
    files = {"a.yaml": team("a", "key", "limits: [5 jobs per day]"), "b.yaml": team("b", "other")}
    house = await open_house(files)
    house.break_upstream("create_request:429:1:1")
    first = await house.client("key").create()
    told = await house.client("other").create()
    seconds = int(told.headers["retry-after"])
    assert (told.status_code, ceil(told.json()["rate_limit"]["retry_after_ms"] / 1000)) == (429, seconds)
    assert {**told.json()["rate_limit"], "retry_after_ms": 0} == {**first.json()["rate_limit"], "retry_after_ms": 0}
    assert 1 <= seconds <= int(first.headers["retry-after"]) <= 300
    assert house.received("create_request") == 1
    assert await house.used("jobs", "a") == 0
    assert (await house.client("key").create("Veo3-Fast")).status_code == 200


def refuse_reservations(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a create that takes anything is a mistake."""

    async def reserve(*_: object) -> None:
        raise AssertionError("nothing is to be taken")

    monkeypatch.setattr(Ledger, "reserve", reserve)


@pytest.mark.parametrize("fair", ["true", "false"])
async def test_up10_a_create_that_is_told_upstreams_429_again_takes_nothing(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, fair: str
) -> None:
    queueing = f"queueing: [{{models: [Veo3], fair: {fair}}}]"
    limited = team("a", "key", "limits: [3 jobs at once]\nduplicates: {window: 1 h}")
    house = await open_house({"a.yaml": limited, "gateway.yaml": queueing})
    client, again = house.client("key"), {"Idempotency-Key": "k"}
    first, merged = await client.create(headers=again), await client.create(payload={"prompt": "another"})
    house.break_upstream("create_request:429:1:1")
    assert (await client.create(payload={"prompt": "a third"})).status_code == 429

    refuse_reservations(monkeypatch)
    told = await client.create(payload={"prompt": "a fourth"}, headers={"Idempotency-Key": "new"})
    assert (told.status_code, "code" in told.json()) == (429, False)
    assert "ratelimit" not in told.headers
    assert (await client.create(headers=again)).content == first.content
    assert (await client.create(payload={"prompt": "another"})).content == merged.content
    other = await client.create(payload={"prompt": "another"}, headers=again)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert house.received("create_request") == 3
    assert await house.gw.ledger.verify() == []


async def test_up15_a_create_that_the_open_circuit_refuses_takes_nothing(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [3 jobs at once]")})
    client, again = house.client("key"), {"Idempotency-Key": "k"}
    first = await client.create(headers=again)
    now = house.gw.ticks()
    for _ in range(FAILURES_TO_OPEN):
        house.gw.upstream.circuits.note("default", "a", now, now, works=False)

    refuse_reservations(monkeypatch)
    refused = await client.create()
    assert (refused.status_code, refused.json()["code"]) == (503, "upstream_circuit_open")
    assert "retry-after" in refused.headers
    assert (await client.create(headers=again)).content == first.content
    assert house.received("create_request") == 1


async def test_a_team_that_merges_duplicates_pays_once_for_equal_creates(open_house: OpenHouse) -> None:
    files = {"a.yaml": team("a", "key", "duplicates: {window: 1 s}"), "b.yaml": team("b", "other")}
    house = await open_house(files)
    client = house.client("key")
    first = await client.create()
    again = await client.create()
    another = await client.create(payload={"prompt": "another"})
    assert again.json()["request_id"] == first.json()["request_id"] != another.json()["request_id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert (await house.client("other").create()).json()["request_id"] != first.json()["request_id"]
    await asyncio.sleep(1.1)
    assert (await client.create()).json()["request_id"] != first.json()["request_id"]


async def test_id1_a_repeat_gets_the_first_answer_whatever_the_policy_says_by_now(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", "duplicates: {window: 1 h}")})
    client = house.client("key")
    first = await client.create(headers={"Idempotency-Key": "k"})
    merged = await client.create(payload={"prompt": "another"})
    (house.policies / "a.yaml").write_text(
        team("a", "key", "models: {allow: ['*'], deny: [Veo3]}\nduplicates: {window: 1 h}")
    )
    await house.http.post(f"{house.running.admin_url}/reload")

    again = await client.create(headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.create(payload={"prompt": "another"})).content == merged.content
    other = await client.create(payload={"prompt": "a third"}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    for headers in ({}, {"Idempotency-Key": "new"}):
        refused = await client.create(payload={"prompt": "a third"}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "model_not_allowed")
    assert house.received("create_request") == 2


async def test_a_job_lasts_from_its_create_on_also_if_it_has_ended_with_the_answer(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    house.break_upstream("create_request:latency:0.3")
    answer = await house.client("key").create("seedream-5.0-lite")
    assert answer.json()["status"] == "success"
    metrics = (await house.admin("/metrics")).text
    [total] = re.findall(r'gateway_job_duration_seconds_sum{model="seedream-5.0-lite"} (\S+)', metrics)
    assert float(total) >= 0.3
    request_id = answer.json()["request_id"]
    remembered, kept = house.gw.jobs.owner(request_id, house.gw.ticks()), await house.gw.ledger.owner_of(request_id)
    assert remembered is not None
    assert kept is not None
    assert remembered.created_at == kept.created_at


async def test_se3_a_fault_after_upstream_has_answered_leaves_the_create_in_doubt(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [10 jobs at once]")}, speed=0.001)

    async def idle(_gw: Gateway) -> None:
        return

    async def faulty(*_arguments: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(recovery, "recover", idle)
    monkeypatch.setattr(settlement, "place", faulty)
    answer = await house.client("key").create()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    (lost,) = await house.gw.ledger.jobless.all()
    assert lost.state is State.UNKNOWN
    assert await house.used("jobs", "a") == 1
