"""Every page is where its links lead, from the first call on, and to several browsers at a time."""

import asyncio

import pytest

from tests.conftest import OpenHouse, team


@pytest.mark.parametrize("path", ["/", "/teams/a", "/jobs", "/explain", "/files/page.css"])
async def test_each_page_can_be_the_first(open_house: OpenHouse, path: str) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    answers = await asyncio.gather(*[house.admin(path) for _ in range(3)])
    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_what_is_no_page_is_said_to_be_none(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "key")})
    assert (await house.admin("/teams/b")).status_code == 404
    assert (await house.admin("/files/b.js")).status_code == 404
    assert (await house.http.post(f"{house.running.admin_url}/jobs")).status_code == 405
