"""The flow of a relayed file, where the world is not as it should be."""

import pytest

from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.slots import Slots
from tests.conftest import House, OpenHouse, Q, team

PUBLIC = "https://gateway.example"
RELAY = {"a.yaml": team("a", "key", "uploads: {relay: true}\nlimits: [9 uploads per day]")}
PNG = {"Content-Type": "image/png"}


async def ask(house: House) -> tuple[int, str]:
    answer = await house.client("key").call("POST", f"{Q}/upload-url", json={"file_type": "png"})
    return answer.status_code, answer.json().get("upload_url", answer.json().get("code"))


async def test_only_the_url_is_replaced_in_upstreams_answer(open_house: OpenHouse) -> None:
    house = await open_house(RELAY, public_url=PUBLIC)
    answer = await house.client("key").call("POST", f"{Q}/upload-url", json={"file_type": "png"})
    assert list(answer.json()) == ["upload_url", "public_url"]
    assert answer.json()["public_url"].startswith(house.upstream.url)
    assert answer.headers["content-type"].startswith("application/json")


async def test_without_the_gateways_address_a_reload_that_wants_to_relay_changes_nothing(
    open_house: OpenHouse,
) -> None:
    house = await open_house({"a.yaml": team("a", "key", "limits: [9 uploads per day]")})
    (house.policies / "a.yaml").write_text(RELAY["a.yaml"])
    told = (await house.http.post(f"{house.running.admin_url}/reload")).text
    assert "`relay: true` needs GATEWAY_PUBLIC_URL" in told
    assert (await ask(house))[1].startswith(house.upstream.url)


async def test_an_upload_that_cannot_be_kept_is_not_counted(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(RELAY, public_url=PUBLIC)

    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    monkeypatch.setattr(Slots, "keep", away)
    assert await ask(house) == (503, "ledger_unavailable")
    assert await house.used("uploads", "a") == 0


async def test_of_two_at_once_one_is_first(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house(RELAY, public_url=PUBLIC)
    url = (await ask(house))[1].replace(PUBLIC, house.running.public_url)

    async def too_late(*_: object) -> bool:
        return False

    monkeypatch.setattr(Slots, "take", too_late)
    answer = await house.http.put(url, content=b"x", headers=PNG)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")
    assert house.received("put_object") == 0


@pytest.mark.parametrize("policy", ["uploads: {relay: true}", "uploads: {relay: false}"])
async def test_a_token_that_nobody_was_given_is_looked_up_only_if_it_may_have_been(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    house = await open_house({"a.yaml": team("a", "key", policy)}, public_url=PUBLIC)
    looked_up: list[bytes] = []

    async def find(_: Slots, digest: bytes, __: float) -> None:
        looked_up.append(digest)

    monkeypatch.setattr(Slots, "find", find)
    tokens = ["x", "", "A" * 42, "A" * 44, "A" * 42 + "=", "A" * 42 + "~"]
    answers = [
        await house.http.put(
            f"{house.running.public_url}/gateway/v1/uploads/{token}", headers=PNG | {"X-Request-ID": "x"}
        )
        for token in [*tokens, "A" * 43]
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len(looked_up) == ("true" in policy)
