"""An upload URL: allowed, counted, and given back when upstream refuses."""

import asyncio

import pytest

from tests.conftest import House, Q
from tests.web.conftest import OpenShop

UPLOADS = "uploads: {file_types: [png, mp4]}\nlimits: [{limit: 2 uploads per day, name: files}]"
URL = f"{Q}/upload-url"


async def uploads(house: House) -> int:
    assert await house.gw.ledger.verify() == []
    return int(await house.used("uploads", "a"))


async def test_an_upload_url_is_upstreams_own(open_shop: OpenShop) -> None:
    house, client = await open_shop(UPLOADS)
    answer = await client.call("POST", URL, json={"file_type": "png"})
    assert answer.status_code == 200
    assert set(answer.json()) == {"upload_url", "public_url"}
    assert "X-Goog-Signature" in answer.json()["upload_url"]
    assert await uploads(house) == 1
    assert 'gateway_uploads_total{file_type="png",team="a"} 1.0' in (await house.admin("/metrics")).text


async def test_a_file_type_outside_the_policy_is_refused_with_those_inside(open_shop: OpenShop) -> None:
    house, client = await open_shop(UPLOADS)
    for file_type in ("wav", "PNG", "png ", ""):
        answer = await client.call("POST", URL, json={"file_type": file_type})
        assert (answer.status_code, answer.json()["code"]) == (403, "file_type_not_allowed")
        assert "png, mp4" in answer.json()["error"]
    assert (await uploads(house), house.received("upload_url")) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"file_type":7}', b'{"file_type":"png","path":"x"}', b'{"file_type":"png","file_type":"mp4"}', b"[]"],
)
async def test_anything_else_in_the_body_is_malformed(open_shop: OpenShop, body: bytes) -> None:
    house, client = await open_shop(UPLOADS)
    answer = await client.call("POST", URL, content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert (await uploads(house), house.received("upload_url")) == (0, 0)


async def test_no_body_of_this_route_is_large(open_shop: OpenShop) -> None:
    _, client = await open_shop(UPLOADS)
    answer = await client.call("POST", URL, content=b'{"file_type":"png"}' + b" " * 4096)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_no_more_urls_than_the_limit(open_shop: OpenShop) -> None:
    house, client = await open_shop(UPLOADS)
    answers = await asyncio.gather(*(client.call("POST", URL, json={"file_type": "png"}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 8
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.json()["quota"] | {"resets_at": ""} == {
        "name": "files",
        "limit": 2,
        "used": 2,
        "unit": "uploads",
        "resets_at": "",
    }
    assert int(refused.headers["retry-after"]) >= 1
    assert (await uploads(house), house.received("upload_url")) == (2, 2)


@pytest.mark.parametrize("fault", ["upload_url:429", "upload_url:500"])
async def test_what_upstream_refuses_is_not_counted(open_shop: OpenShop, fault: str) -> None:
    house, client = await open_shop(UPLOADS)
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
    open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, client = await open_shop(UPLOADS)
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
