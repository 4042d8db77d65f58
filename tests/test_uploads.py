"""An upload is counted before upstream signs a URL for it, and given back when upstream does not."""

from typing import Any

import pytest

from gateway.ledger.ledger import Ledger, LedgerUnavailable
from tests.conftest import House, OpenHouse, Q, team

UPLOADS = "uploads: {file_types: [png, mp4]}\nlimits: [{limit: 2 uploads per day, name: files}]"
URL = f"{Q}/upload-url"


async def uploads(house: House) -> int:
    assert await house.gw.ledger.verify() == []
    return int(await house.used("uploads", "a"))


@pytest.mark.parametrize("fault", ["upload_url:429", "upload_url:500"])
async def test_what_upstream_refuses_is_not_counted(open_house: OpenHouse, fault: str) -> None:
    house = await open_house({"a.yaml": team("a", "key", UPLOADS)})
    client = house.client("key")
    house.break_upstream(fault)
    answer = await client.call("POST", URL, json={"file_type": "png"})
    assert answer.status_code == int(fault[-3:])
    assert "code" not in answer.json()
    assert await uploads(house) == 0
    assert "gateway_uploads_total{" not in (await house.admin("/metrics")).text


async def test_without_upstream_nothing_is_counted(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key", UPLOADS)}, upstream="http://127.0.0.1:1")
    answer = await house.client("key").call("POST", URL, json={"file_type": "png"})
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")
    assert await uploads(house) == 0


async def test_what_the_ledger_does_not_take_back_at_once_it_takes_back_later(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key", UPLOADS)})
    client = house.client("key")
    house.break_upstream("upload_url:429")
    give_back, tries = Ledger.give_back, iter((False, True))

    async def once_away(ledger: Ledger, claims: Any) -> None:
        if not next(tries):
            raise LedgerUnavailable("away")
        await give_back(ledger, claims)

    monkeypatch.setattr(Ledger, "give_back", once_away)
    answer = await client.call("POST", URL, json={"file_type": "png"})
    assert (answer.status_code, "code" in answer.json()) == (429, False)

    async def none_counted() -> bool:
        return await uploads(house) == 0

    await house.eventually(none_counted)


async def test_what_the_ledger_may_have_taken_back_is_not_taken_back_again(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "key", UPLOADS)})
    client = house.client("key")
    assert (await client.call("POST", URL, json={"file_type": "png"})).status_code == 200
    house.break_upstream("upload_url:429")
    give_back = Ledger.give_back

    async def answer_lost(ledger: Ledger, claims: Any) -> None:
        await give_back(ledger, claims)
        lost = LedgerUnavailable("the connection was cut while it committed")
        lost.may_be_done = True
        raise lost

    monkeypatch.setattr(Ledger, "give_back", answer_lost)
    assert (await client.call("POST", URL, json={"file_type": "png"})).status_code == 429
    await house.gw.tasks.finish(5)
    assert await uploads(house) == 1
