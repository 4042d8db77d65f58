"""The catalogue as clients of a whole gateway see it, in front of an upstream that can be told to fail."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway import catalogue
from gateway.core.detail import ModelDetail, PriceInfo
from gateway.core.policy import Caller
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import Snapshot
from tests.conftest import House, OpenHouse, Q, digest, team
from tests.scripted_upstream import Connection, ScriptedUpstream, response

LISTING = b'{"model_ids":["Veo3","Kling-V2","a b","Veo3-Fast"],"next":null}'
DETAIL = b'{"model":"Veo3", "price_info":{"price":400000,"unit":"second"},"parameters":[]}'
FILES = {
    "a.yaml": team("a", "gmigw_a", 'models: {allow: ["Veo3*", "a b", "gone"], deny: [Veo3-Fast]}'),
    "b.yaml": team("b", "gmigw_b", "models: {allow: [Kling-*]}"),
}


@dataclass
class Shop:
    """An upstream's catalogue by path below the prefix; a path it does not have is 404. `hold` keeps it silent."""

    pages: dict[str, bytes] = field(
        default_factory=lambda: {
            "/models": response(LISTING, "200 OK", 'ETag: "upstreams"', "X-Kept: yes"),
            "/models/Veo3": response(DETAIL),
            "/models/a%20b": response(b'{"model":"a b"}'),
        }
    )
    held: bool = False

    async def __call__(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            if self.held:
                await connection.hold()
            missing = response(b'{"error":"model does not exist"}', "404 Not Found")
            await connection.send(self.pages.get(request.target.removeprefix(Q), missing))


class Clock:
    """Gives the cache a clock that a test turns."""

    def __init__(self, house: House) -> None:
        self.now = 1000.0
        house.gw.catalogue._ticks = lambda: self.now


def asked(upstream: ScriptedUpstream) -> list[str]:
    """The paths below the prefix that upstream was asked, in order."""
    return [request.target.removeprefix(Q) for request in upstream.requests]


def caller(house: House, key: str) -> Caller:
    """Who holds the key."""
    return house.gw.policies.current.callers[digest(key).removeprefix("sha256:")]


async def test_ch1_a_hundred_cold_listings_ask_once_and_each_team_sees_its_own(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a, b = house.client("gmigw_a"), house.client("gmigw_b")
        answers = await asyncio.gather(*((a if number % 2 else b).get(f"{Q}/models") for number in range(100)))
    assert asked(upstream) == ["/models"]
    assert {answer.content for answer in answers[1::2]} == {b'{"model_ids":["Veo3","a b"],"next":null}'}
    assert {answer.content for answer in answers[0::2]} == {b'{"model_ids":["Kling-V2"],"next":null}'}
    assert answers[0].headers["x-kept"] == "yes"
    assert answers[0].headers["etag"] not in ('"upstreams"', answers[1].headers["etag"])


async def test_ch4_the_second_time_it_is_a_hit_and_can_be_validated(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = house.client("gmigw_a")
        for path, body in (("/models", b'{"model_ids":["Veo3","a b"],"next":null}'), ("/models/Veo3", DETAIL)):
            first = await a.get(Q + path)
            second = await a.get(Q + path)
            assert first.content == second.content == body
            assert first.headers["cache-status"] == "gmi-gateway; fwd=miss"
            assert second.headers["cache-status"] == "gmi-gateway; hit"
            assert second.headers["age"] == "0"
            assert second.headers["etag"] == first.headers["etag"]
            assert first.headers.get_list("etag") == [first.headers["etag"]]
            again = await a.get(Q + path, headers={"If-None-Match": first.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    assert asked(upstream) == ["/models", "/models/Veo3"]


async def test_az4_a_model_of_others_is_refused_without_asking(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        for model in ("Kling-V2", "Veo3-Fast", "veo3", "Veo3%20", "nope"):
            answer = await house.client("gmigw_a").get(f"{Q}/models/{model}")
            assert (answer.status_code, answer.json()["code"]) == (403, "model_not_allowed")
    assert asked(upstream) == []


async def test_pa6_a_model_upstream_does_not_list_is_not_asked_for(open_house: OpenHouse) -> None:
    shop = Shop()
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        clock, a = Clock(house), house.client("gmigw_a")
        for _ in range(5):
            answer = await a.get(f"{Q}/models/gone")
            assert (answer.status_code, answer.json()["code"]) == (404, "model_not_found")
        assert asked(upstream) == ["/models"]
        clock.now += 31
        shop.pages["/models"] = response(b'{"model_ids":["gone"]}')
        shop.pages["/models/gone"] = response(b'{"model":"gone"}')
        assert (await a.get(f"{Q}/models/gone")).json() == {"model": "gone"}
    assert asked(upstream) == ["/models", "/models", "/models/gone"]


async def test_pa6_an_id_with_a_space_is_encoded_once(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        answer = await house.client("gmigw_a").get(f"{Q}/models/a%20b")
        assert answer.json() == {"model": "a b"}
    assert asked(upstream) == ["/models", "/models/a%20b"]


async def test_a_listed_model_that_upstream_denies_is_remembered_for_a_while(open_house: OpenHouse) -> None:
    shop = Shop()
    del shop.pages["/models/Veo3"]
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        clock, a = Clock(house), house.client("gmigw_a")
        for _ in range(3):
            answer = await a.get(f"{Q}/models/Veo3")
            assert (answer.status_code, answer.json()) == (404, {"error": "model does not exist"})
        assert asked(upstream).count("/models/Veo3") == 1
        clock.now += 31
        await a.get(f"{Q}/models/Veo3")
        assert asked(upstream).count("/models/Veo3") == 2


async def test_ch1_an_error_of_upstreams_passes_untouched_and_is_not_kept(open_house: OpenHouse) -> None:
    shop = Shop()
    good = shop.pages["/models"]
    shop.pages["/models"] = response(b'{"error":"slow down"}', "429 Too Many Requests", "Retry-After: 9")
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = house.client("gmigw_a")
        for path in ("/models", "/models/Veo3"):
            refused = await a.get(Q + path)
            assert (refused.status_code, refused.json()) == (429, {"error": "slow down"})
            assert refused.headers["retry-after"] == "9"
            assert "etag" not in refused.headers
        shop.pages["/models"] = good
        assert (await a.get(f"{Q}/models")).status_code == 200


async def test_ch1_an_error_about_one_model_passes_untouched(open_house: OpenHouse) -> None:
    shop = Shop()
    shop.pages["/models/Veo3"] = response(b'{"error":"Backend error"}', "500 Internal Server Error")
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        for _ in range(2):
            answer = await house.client("gmigw_a").get(f"{Q}/models/Veo3")
            assert (answer.status_code, answer.json()) == (500, {"error": "Backend error"})
    assert asked(upstream).count("/models/Veo3") == 2


async def test_up7_a_listing_that_is_none_is_invalid(open_house: OpenHouse) -> None:
    shop = Shop()
    shop.pages["/models"] = response(b'{"models":[]}')
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        answer = await house.client("gmigw_a").get(f"{Q}/models")
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")


@pytest.mark.parametrize(
    "body",
    [
        b'{"request_id":"r-1","model":"Veo3","status":"queued","payload":{"prompt":"of another team"}}',
        b'{"model":"Kling-V2","price_info":{"price":1,"unit":"request"},"parameters":[]}',
    ],
    ids=["a job's record", "another model's detail"],
)
async def test_sm10_an_answer_to_another_question_is_no_detail(open_house: OpenHouse, body: bytes) -> None:
    shop = Shop()
    detail, shop.pages["/models/Veo3"] = shop.pages["/models/Veo3"], response(body)
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        answer = await house.client("gmigw_a").get(f"{Q}/models/Veo3")
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")
        assert await catalogue.detail_for_decision(house.gw, caller(house, "gmigw_a"), "Veo3") is None
        shop.pages["/models/Veo3"] = detail
        assert (await house.client("gmigw_a").get(f"{Q}/models/Veo3")).content == DETAIL


async def test_a_detail_is_one_look_up_among_the_models(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        for _ in range(3):
            await house.client("gmigw_a").get(f"{Q}/models/Veo3")
        lines = (await house.admin("/metrics")).text.splitlines()
    told = {line for line in lines if line.startswith("gateway_cache_requests_total")}
    assert told == {
        f'gateway_cache_requests_total{{cache="{cache}",result="{result}"}} {count}'
        for cache in ("model", "models")
        for result, count in (("hit", 2.0), ("miss", 1.0))
    }


async def test_a_detail_that_calls_the_model_otherwise_than_any_listed_one_is_the_models(open_house: OpenHouse) -> None:
    shop = Shop()
    shop.pages["/models/Veo3"] = response(DETAIL.replace(b'"Veo3"', b'"veo3-preview"'))
    async with ScriptedUpstream(shop) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        answer = await house.client("gmigw_a").get(f"{Q}/models/Veo3")
        assert (answer.status_code, answer.json()["model"]) == (200, "veo3-preview")


async def test_what_the_ledger_kept_and_is_no_detail_is_asked_for_anew(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        record = b'{"request_id":"r-1","status":"queued"}'
        kept = Snapshot(((b"content-type", b"application/json"),), record, house.gw.now())
        await house.gw.ledger.save_snapshot(f"model {upstream.url} default Veo3", kept)
        answer = await house.client("gmigw_a").get(f"{Q}/models/Veo3")
        assert (answer.status_code, answer.content) == (200, DETAIL)


async def test_up1_stale_while_upstream_is_down_until_it_is_too_old(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        clock, a = Clock(house), house.client("gmigw_a")
        fresh = await a.get(f"{Q}/models")
        await a.get(f"{Q}/models/Veo3")
    seen = []
    for age in (301, 3601, 86401):
        clock.now = 1000 + age
        listed, detail = await a.get(f"{Q}/models"), await a.get(f"{Q}/models/Veo3")
        seen.append(
            (listed.status_code, detail.status_code, listed.headers.get("cache-status"), listed.headers.get("age"))
        )
        if listed.status_code == 200:
            assert (listed.content, detail.content) == (fresh.content, DETAIL)
    assert seen == [
        (200, 200, "gmi-gateway; hit; detail=stale", "301"),
        (200, 200, "gmi-gateway; hit; detail=stale-error", "3601"),
        (502, 502, None, None),
    ]


async def test_sh5_after_a_restart_with_upstream_down_the_last_catalogue_is_served(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = house.client("gmigw_a")
        listed, detail = await a.get(f"{Q}/models"), await a.get(f"{Q}/models/Veo3")
        await house.eventually(lambda: house.gw.ledger.load_snapshot(f"model {upstream.url} default Veo3"))
    again = (await open_house(FILES, upstream=upstream.url)).client("gmigw_a")
    for path, before in (("/models", listed), ("/models/Veo3", detail)):
        after = await again.get(Q + path)
        assert (after.status_code, after.content) == (200, before.content)
        assert after.headers["etag"] == before.headers["etag"]
        assert after.headers["cache-status"] == "gmi-gateway; hit"
        assert after.headers["server-timing"].startswith("upstream;dur=0.000,")


@pytest.mark.parametrize(("hours", "status"), [(2, 200), (25, 502)])
async def test_what_the_ledger_kept_grows_too_old_as_well(open_house: OpenHouse, hours: int, status: int) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        pass
    house = await open_house(FILES, upstream=upstream.url)
    kept = Snapshot(((b"content-type", b"application/json"),), LISTING, house.gw.now() - hours * 3600)
    await house.gw.ledger.save_snapshot(f"models {upstream.url} default", kept)
    answer = await house.client("gmigw_a").get(f"{Q}/models")
    assert answer.status_code == status
    if status == 200:
        assert (answer.json()["model_ids"], answer.headers["age"]) == (["Veo3", "a b"], str(hours * 3600))


async def test_without_a_ledger_the_catalogue_is_served_and_not_kept(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise LedgerUnavailable("gone")

    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        monkeypatch.setattr(house.gw.ledger, "load_snapshot", unavailable)
        monkeypatch.setattr(house.gw.ledger, "save_snapshot", unavailable)
        for _ in range(2):
            assert (await house.client("gmigw_a").get(f"{Q}/models")).status_code == 200
    assert asked(upstream) == ["/models"]


async def test_in_front_of_the_simulator_nothing_is_kept(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "gmigw_a")}, simulate="on")
    a = house.client("gmigw_a")
    ids = (await a.get(f"{Q}/models")).json()["model_ids"]
    assert "Veo3" in ids
    assert (await a.get(f"{Q}/models/Veo3")).json()["model"] == "Veo3"
    assert await house.gw.ledger.load_snapshot(f"models {house.gw.settings.upstream_url} default") is None


async def test_a_decision_knows_price_and_parameters(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = caller(house, "gmigw_a")
        detail = await catalogue.detail_for_decision(house.gw, a, "Veo3")
        assert detail == ModelDetail("Veo3", (), PriceInfo(400000, "second"))
        assert await catalogue.detail_for_decision(house.gw, a, "gone") is None
        before = len(upstream.requests)
        assert await catalogue.detail_for_decision(house.gw, a, "Kling-V2") is None
        assert len(upstream.requests) == before


async def test_up5_a_decision_does_not_wait_for_ever(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "DECISION_PATIENCE", 0.1)
    async with ScriptedUpstream(Shop(held=True)) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        async with asyncio.timeout(2):
            assert await catalogue.detail_for_decision(house.gw, caller(house, "gmigw_a"), "Veo3") is None


async def test_listings_are_recalled_from_the_ledger_alone(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        await catalogue.recall_listings(house.gw)
        assert ("models", "default") not in house.gw.catalogue
        kept = Snapshot(((b"content-type", b"application/json"),), LISTING, house.gw.now() - 7200)
        await house.gw.ledger.save_snapshot(f"models {upstream.url} default", kept)
        await catalogue.recall_listings(house.gw)
        assert catalogue.is_on_offer(house.gw, caller(house, "gmigw_a"), "Veo3")
        assert asked(upstream) == []
        assert (await house.client("gmigw_a").get(f"{Q}/models")).headers["cache-status"] == "gmi-gateway; fwd=miss"
        assert asked(upstream) == ["/models"], "it was too old to be served without asking"


async def test_what_is_decided_without_a_detail_is_said_once_a_minute_for_each_model(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(catalogue, "log_event", lambda _, event, *, model: told.append((event, model)))
    async with ScriptedUpstream(Shop({"/models": response(b"{}", "500 Oops")})) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = caller(house, "gmigw_a")
        for ticks, model in ((0, "Veo3"), (1, "Veo3"), (2, "gone"), (59, "Veo3"), (60, "Veo3"), (61, "Veo3")):
            gw = replace(house.gw, ticks=lambda now=ticks: float(now))
            assert await catalogue.detail_for_decision(gw, a, model) is None
    event = "decided without the model's detail"
    assert told == [(event, "Veo3"), (event, "gone"), (event, "Veo3")]


async def test_what_is_on_offer_is_a_name_of_the_policys_or_of_the_listings(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        a = caller(house, "gmigw_a")

        def on_offer(*models: str) -> list[str]:
            return [model for model in models if catalogue.is_on_offer(house.gw, a, model)]

        names = ("gone", "Veo3", "Veo3-made-up", "Veo3-Fast", "Kling-V2", "Veo3*", "", "x" * 10_000)
        assert on_offer(*names) == ["gone", "Veo3*"]
        assert asked(upstream) == []
        await house.client("gmigw_a").get(f"{Q}/models")
        assert on_offer(*names) == ["gone", "Veo3", "Veo3*"]


async def test_the_ledger_keeps_answers_by_origin_and_credential(open_house: OpenHouse) -> None:
    async with ScriptedUpstream(Shop()) as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        assert (await house.client("gmigw_a").get(f"{Q}/models/Veo3")).status_code == 200
        await house.gw.tasks.finish(5)
        for key, body in ((("models", "default"), LISTING), (("model", "default", "Veo3"), DETAIL)):
            kept = await house.gw.ledger.load_snapshot(catalogue.snapshot_name(upstream.url, key))
            assert kept is not None
            assert kept.body == body
            assert await house.gw.ledger.load_snapshot(catalogue.snapshot_name("https://other", key)) is None
