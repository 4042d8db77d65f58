"""Errors that name a job: whose they may be to be told."""

import json
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from gateway.ledger.ledger import Ledger, LedgerUnavailable
from tests.conftest import House, OpenHouse, team
from tests.fake_upstream import FakeUpstream, Q
from tests.scripted_upstream import response


class World:
    """Two teams, of which the other has a job, and an upstream that refuses creates with a given body."""

    def __init__(self, house: House, upstream: FakeUpstream, job: str) -> None:
        self.house = house
        self.job = job
        self._upstream = upstream

    async def refused(self, body: object, *headers: str, prompt: str = "", key: str | None = None) -> httpx.Response:
        told = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._upstream.answers["POST", f"{Q}/requests"] = response(told, "409 Conflict", *headers)
        idempotent = {"Idempotency-Key": key} if key else {}
        return await self.house.client("key-a").create(payload={"prompt": prompt}, headers=idempotent)


@pytest.fixture
async def world(open_house: OpenHouse) -> AsyncIterator[World]:
    async with FakeUpstream() as upstream:
        policies = {f"{name}.yaml": team(name, f"key-{name}") for name in "ab"}
        house = await open_house(policies, upstream=upstream.url)
        yield World(house, upstream, str((await house.client("key-b").create()).json()["request_id"]))


def withheld(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json().get("code")) == (502, "upstream_invalid")


@pytest.mark.parametrize(
    "told",
    [
        '{"error":{"message":"no","request_id":"%s"}}',
        '{"error":"a duplicate of %s."}',
        '{"error":"see /requests/%s/video.mp4"}',
        '{"error":"a prompt cut at \\ud83d","request_id":"%s"}',
        "a duplicate of %s",
    ],
)
async def test_az7_an_error_is_not_told_wherever_it_names_anothers_job(world: World, told: str) -> None:
    for name in (world.job, world.job.upper()):
        answer = await world.refused((told % name).encode())
        assert withheld(answer)
        assert name not in answer.text


async def test_az7_nor_is_it_kept_with_the_job_of_the_refused_create(world: World) -> None:
    left = str(uuid4())
    assert withheld(await world.refused({"error": f"a duplicate of {world.job}", "request_id": left}))
    assert await world.house.gw.ledger.owner_of(left) is not None
    assert (await world.house.client("key-a").get(f"{Q}/requests")).json()["requests"] == []


async def test_az7_neither_is_one_that_names_it_in_a_header(world: World) -> None:
    assert withheld(await world.refused({"error": "no"}, f"X-Duplicate: of={world.job}"))


async def test_az7_nor_one_that_names_more_than_can_be_asked_about(world: World) -> None:
    assert (await world.refused({"error": [str(uuid4()) for _ in range(100)]})).status_code == 409
    assert withheld(await world.refused({"error": [str(uuid4()) for _ in range(101)]}))


async def test_az7_while_the_ledger_cannot_tell_it_is_not_told_nor_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise LedgerUnavailable("reading failed")

    body = {"error": "no", "request_id": world.job}
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "owners", fail)
        assert withheld(await world.refused(body, key="k"))
        assert (await world.refused({"error": "no"})).status_code == 409
    named = [vars(each)["fields"] for each in caplog.records if each.message == "upstream named another team's job"]
    assert [fields["known"] for fields in named] == [False]
    assert world.job not in (await world.refused(body, key="k")).text


async def test_what_is_nobodys_or_the_teams_own_or_stands_in_the_create_is_told(world: World) -> None:
    own = str((await world.house.client("key-a").create()).json()["request_id"])
    for error in ("no", f"like {own}", f"like {uuid4()}"):
        answer = await world.refused({"error": error})
        assert (answer.status_code, answer.json()) == (409, {"error": error})
    answer = await world.refused({"error": f"bad prompt: {world.job}"}, prompt=f"about {world.job}")
    assert answer.status_code == 409
