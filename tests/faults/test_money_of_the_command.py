"""Money, counted by two processes of the command on one ledger: rows BU2, BU3 and BU5."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Client, team
from tests.faults.unruly import UnrulyUpstream
from tests.postgres import postgres
from tests.served import environment_of, eventually, served
from tests.site import Site, database, site_at

__all__ = ["database", "postgres"]

PRICES = """\
prices:
  - {models: [Veo3], usd: 0.1, per: second, seconds: durationSeconds}
  - {models: [Veo3-Fast], usd: 0.000001, per: job}
  - {models: ["Kling*"], usd: 0.07, per: second, seconds: duration, when: {resolution: 720p}}
"""
POLICIES = {
    "gateway.yaml": PRICES,
    "a.yaml": team("a", "key-a", "limits: [1 USD per month, 50 jobs at once]"),
    "b.yaml": team("b", "key-b", "limits: [{limit: 12345.678901 USD per month}, 1000 jobs at once]"),
    "free.yaml": team("free", "key-free", "limits: [50 jobs per day]"),
}
JOBS = 500


@pytest.fixture
async def site(database: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_at(tmp_path, database, POLICIES, UnrulyUpstream()) as site:
        await asyncio.gather(*(site.start(max_in_flight="2000", create_timeout="30") for _ in range(2)))
        yield site
        await site.verify()


def clients(site: Site, key: str) -> list[Client]:
    """One team's client of each process."""
    return [gateway.client(key) for gateway in site.started]


async def limit_of(client: Client) -> dict[str, Any]:
    """The budget as the team is shown it, digit by digit."""
    answer = await client.get("/gateway/v1/usage")
    limits = json.loads(answer.text, parse_float=Decimal, parse_int=Decimal)["limits"]
    return next(limit for limit in limits if limit["unit"] == "USD")


async def comes_to(site: Site, team: str, books: dict[str, int], seconds: float = 20) -> None:
    """Wait until the team's counters hold this."""

    async def are_so() -> bool:
        return await site.books(team) == books

    await eventually(are_so, seconds)


async def test_bu2_a_dollar_buys_ten_seconds_at_ten_cents_and_nothing_more(site: Site) -> None:
    one, other = clients(site, "key-a")
    for client, seconds in ((one, 3), (other, 3), (one, 3)):  # of which a float would make more than 0.3
        answer = await client.create(payload={"prompt": "x", "durationSeconds": seconds})
        assert answer.status_code == 200
    refused = await one.create(payload={"prompt": "x", "durationSeconds": 2})
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exceeded")
    assert (refused.json()["price"], refused.json()["left"]) == (0.2, 0.1)
    assert (await other.create(payload={"prompt": "x", "durationSeconds": 1})).status_code == 200
    for client in (one, other):
        limit = await limit_of(client)
        assert (limit["used"], limit["remaining"]) == (Decimal(1), Decimal(0))
        assert (await client.create("Veo3-Fast")).status_code == 402
    assert await site.books("a") == {"jobs": 0, "slots": 4, "USD": 1_000_000}


async def test_bu2_many_jobs_of_odd_prices_come_to_their_exact_sum(site: Site) -> None:
    dice = random.Random(20261125)
    drafts = [_odd_job(dice) for _ in range(JOBS)]
    few = asyncio.Semaphore(8)

    async def create(client: Client, model: str, payload: dict[str, Any]) -> httpx.Response:
        async with few:
            return await client.create(model, payload)

    answers = await asyncio.gather(
        *(create(dice.choice(clients(site, "key-b")), model, payload) for model, payload, _ in drafts)
    )
    assert Counter(answer.status_code for answer in answers) == {200: JOBS}
    held = sum(price for _, _, price in drafts)
    assert await site.books("b") == {"jobs": 0, "slots": JOBS, "USD": int(held * 10**6)}
    assert (await limit_of(clients(site, "key-b")[0]))["used"] == held

    spent = Decimal(0)
    for answer, (_, _, price) in zip(answers, drafts, strict=True):
        outcome = dice.choice(["success", "failed", "cancelled"])
        spent += price if outcome == "success" else 0
        site.upstream.jobs[answer.json()["request_id"]] |= {"status": outcome, "outcome": {}}
    await comes_to(site, "b", {"jobs": 0, "slots": 0, "USD": int(spent * 10**6)}, 60)
    for client in clients(site, "key-b"):
        limit = await limit_of(client)
        assert (limit["used"], limit["remaining"]) == (spent, Decimal("12345.678901") - spent)


def _odd_job(dice: random.Random) -> tuple[str, dict[str, Any], Decimal]:
    """A model, a payload, and what it costs in USD."""
    prompt: dict[str, Any] = {"prompt": f"{dice.random()}"}
    match dice.randrange(3):
        case 0:
            seconds = dice.randrange(1, 60)
            return "Veo3", prompt | {"durationSeconds": seconds}, Decimal("0.1") * seconds
        case 1:
            return "Veo3-Fast", prompt, Decimal("0.000001")
        case _:
            seconds = dice.randrange(1, 60)
            payload = prompt | {"duration": str(seconds), "resolution": "720p"}
            return "Kling V2.1+Master", payload, Decimal("0.07") * seconds


UNPRICED: list[tuple[str, dict[str, Any]]] = [
    ("seedream-5.0-lite", {"prompt": "no price"}),
    ("Kling V2.1+Master", {"prompt": "another", "resolution": "8k", "duration": 5}),
    ("Kling V2.1+Master", {"prompt": "none", "duration": 5}),
    ("Veo3", {"prompt": "how long?"}),
]
BAD_PRICES = (".nan", "-0.1", "1e30", ".inf")


async def test_bu3_a_job_nobody_can_price_is_refused_to_a_team_with_a_budget(site: Site) -> None:
    for model in site.upstream.models:
        site.upstream.details[model] = {"price_info": None}
    for model, payload in UNPRICED:
        for client in clients(site, "key-a"):
            refused = await client.create(model, payload)
            assert (refused.status_code, refused.json()["code"]) == (403, "price_unknown")
    assert site.upstream.creates == []
    assert await site.books() == {"jobs": 0, "slots": 0, "USD": 0}
    assert (await clients(site, "key-free")[0].create(*UNPRICED[0])).status_code == 200


async def reload(site: Site, **files: str) -> list[httpx.Response]:
    """Change policy files, and have every gateway read them."""
    for name, text in files.items():
        (site.folder / "policies" / f"{name}.yaml").write_text(text)
    return [await gateway.http.post(f"{gateway.admin}/reload") for gateway in site.started]


async def test_bu3_a_price_that_is_none_is_refused_at_the_start_and_on_reload(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    bad = [f"  - {{models: [Veo3-Fast], usd: {price}, per: job}}\n" for price in BAD_PRICES]
    async with site_at(tmp_path, url, POLICIES, UnrulyUpstream()) as site:
        gateway = await site.start()
        for line in bad:
            (answer,) = await reload(site, gateway=f"prices:\n{line}")
            assert answer.status_code >= 400
            assert (await gateway.client("key-a").create("Veo3-Fast")).status_code == 200
        assert (await site.books("a"))["USD"] == len(bad)

        await reload(site, gateway="prices:\n" + "".join(bad))
        async with served(environment_of(tmp_path, site.upstream.url, ledger=url)) as second:
            assert (second.public, await second.ends()) == ("", 2)
            said = "".join(second.said)
            assert [number for number in range(10) if f"gateway.yaml:{number}:" in said] == [2, 3, 4, 5]


async def test_bu5_a_new_price_changes_no_job_that_runs(site: Site) -> None:
    def prices(usd: str) -> str:
        return f"prices: [{{models: [Veo3], usd: {usd}, per: job}}]"

    one, other = clients(site, "key-b")
    assert {each.status_code for each in await reload(site, gateway=prices("3"))} == {200}
    kept, refunded = (await one.create()).json()["request_id"], (await other.create()).json()["request_id"]
    assert {each.status_code for each in await reload(site, gateway=prices("5"))} == {200}
    assert await site.books("b") == {"jobs": 0, "slots": 2, "USD": 6_000_000}

    site.upstream.jobs[kept] |= {"status": "success", "outcome": {}}
    site.upstream.jobs[refunded] |= {"status": "failed", "outcome": {}}
    await comes_to(site, "b", {"jobs": 0, "slots": 0, "USD": 3_000_000})
    assert (await one.create()).status_code == 200
    assert await site.books("b") == {"jobs": 0, "slots": 1, "USD": 8_000_000}

    less = POLICIES["b.yaml"].replace("12345.678901", "7")
    assert {each.status_code for each in await reload(site, b=less)} == {200}
    for client in (one, other):
        assert (await client.create()).json()["code"] == "budget_exceeded"
        limit = await limit_of(client)
        assert (limit["used"], limit["remaining"]) == (Decimal(8), Decimal(0))
    assert len(site.upstream.creates) == 3
