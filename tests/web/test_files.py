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
    assert '"files";r=0;t=' in refused.headers["ratelimit"]
    left = {
        item.partition(";t=")[0]
        for answer in answers
        if answer.status_code == 200
        for item in answer.headers["ratelimit"].split(", ")
    }
    assert {'"files";r=1', '"files";r=0'} <= left
    assert (await uploads(house), house.received("upload_url")) == (2, 2)
