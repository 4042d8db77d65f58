from gateway.core.addresses import Target
from gateway.ledger.delivery_values import Notice
from tests.conftest import House, OpenHouse, team

TARGET = Target("hooks.example.com", "/in?token=t0ken")


async def house_with(open_house: OpenHouse, *events: str) -> House:
    house: House = await open_house({"a.yaml": team("a", "key"), "b.yaml": team("b", "b-key")})
    for event in events:
        await house.gw.ledger.outbox.notify(Notice("limit", event, "a", TARGET, b"{}"), house.gw.now())
    return house


async def test_deliveries_are_listed_by_their_host_alone(open_house: OpenHouse) -> None:
    house = await house_with(open_house, "one", "two")
    answer = await house.admin("/api/webhooks?limit=1")
    body = answer.json()
    assert (answer.status_code, body["has_more"], body["total"]) == (200, True, 2)
    (row,) = body["webhooks"]
    assert (row["team"], row["kind"], row["host"], row["request_id"]) == ("a", "limit", TARGET.host, None)
    assert "t0ken" not in answer.text


async def test_the_list_takes_a_team_a_state_and_a_job(open_house: OpenHouse) -> None:
    house = await house_with(open_house, "one")
    for query, total in (
        ("team=a", 1),
        ("team=b", 0),
        ("state=delivered", 0),
        ("request_id=nobody", 0),
        ("offset=1", 1),
    ):
        assert (await house.admin(f"/api/webhooks?{query}")).json()["total"] == total, query


async def test_a_word_that_means_nothing_is_refused(open_house: OpenHouse) -> None:
    house = await house_with(open_house)
    for query in ("state=lost", "team=nobody", "limit=0", "page=2"):
        refused = await house.admin(f"/api/webhooks?{query}")
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request"), query
