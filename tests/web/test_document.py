"""Who gets the OpenAPI document, and how often."""

from gateway.web.document import PATH
from gateway.web.openapi import document
from gateway.web.public_routes import public_routes
from tests.web.conftest import OpenShop


async def test_it_needs_no_key_and_is_kept_until_it_changes(open_shop: OpenShop) -> None:
    house, _ = await open_shop(public_url="https://gateway.example")
    url = house.running.public_url + PATH
    answer = await house.http.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document(public_routes().routes, "https://gateway.example")
    assert (await house.http.get(url, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    assert (await house.http.post(url)).json()["code"] == "key_missing"
