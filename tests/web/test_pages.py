"""The team page and its files: open to everybody, the same for everybody, from exact paths."""

import re

import pytest

from gateway.web.pages import CONTENT_POLICY, page_routes, read_file
from tests.conftest import OpenHouse, team
from tests.web.conftest import OpenShop

PATHS = [route.path for route in page_routes()]
LIMITS = "limits: [5 requests per hour]"


async def test_everybody_gets_the_page_and_what_it_needs(open_shop: OpenShop) -> None:
    house, _ = await open_shop()
    types = {"/gateway/": "text/html", "/gateway/page.css": "text/css"}
    for path in PATHS:
        answer = await house.http.get(house.running.public_url + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{types.get(path, 'text/javascript')}; charset=utf-8"
        assert answer.headers["cache-control"] == "public, no-cache"
        assert answer.headers["content-security-policy"] == CONTENT_POLICY.decode()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert not {"set-cookie", "ratelimit", "www-authenticate", "server"} & set(answer.headers)
        head = await house.http.head(house.running.public_url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == answer.headers["content-length"]


async def test_who_has_a_file_is_told_so(open_shop: OpenShop) -> None:
    house, _ = await open_shop()
    for path in PATHS:
        url = house.running.public_url + path
        etag = (await house.http.get(url)).headers["etag"]
        again = await house.http.get(url, headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert (await house.http.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    "path", ["/gateway", "/gateway//", "/gateway/page.css/", "/gateway/index.html", "/gateway/v1/usage"]
)
async def test_au6_no_other_path_says_anything_without_a_key(open_shop: OpenShop, path: str) -> None:
    house, _ = await open_shop()
    answer = await house.http.get(house.running.public_url + path)
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_au6_other_methods_need_a_key_to_be_told_that_there_are_none(open_shop: OpenShop, method: str) -> None:
    house, client = await open_shop()
    for path in PATHS:
        without = await house.http.request(method, house.running.public_url + path)
        assert (without.status_code, without.json()["code"]) == (401, "key_missing")
        with_key = await client.call(method, path)
        assert (with_key.status_code, with_key.headers["allow"]) == (405, "GET, HEAD")


async def test_the_page_counts_for_no_team_not_even_with_its_key(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "k", LIMITS)})
    client = house.client("k")
    for _ in range(10):
        for path in PATHS:
            assert (await client.get(path)).status_code == 200
    usage = (await client.get("/gateway/v1/usage")).json()
    assert usage["limits"][0]["used"] == 1
    metrics = (await house.admin("/metrics")).text
    assert 'gateway_requests_total{code="200",method="GET",route="/gateway/",team="other"} 10.0' in metrics


@pytest.mark.parametrize("url", ["", "https://gateway.example"])
async def test_the_page_is_told_the_gateways_public_url(open_shop: OpenShop, url: str) -> None:
    house, _ = await open_shop(public_url=url)
    text = (await house.http.get(f"{house.running.public_url}/gateway/")).text
    assert f'<meta name="gateway-url" content="{url}">' in text
    assert "{gateway_url}" not in text


async def test_nothing_of_this_gateway_is_in_what_everybody_gets(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("canary-team", "k")})
    for path in PATHS:
        text = (await house.http.get(house.running.public_url + path)).text
        assert not re.search(r"canary|127\.0\.0\.1:\d|gmi-gateway/|sqlite", text)


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    html = read_file("team.html").body.decode()
    assert re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"(?!/gateway/|data:)", html) == []
    assert re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", html) == []
    for name in ("team.js", "thumbnails.js", "page.js", "live.js"):
        script = read_file(name).body.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script)
