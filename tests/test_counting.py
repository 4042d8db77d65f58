"""Jobs are counted under their model's name, wherever one is known, and under no name that a client made up."""

from gateway.catalogue import snapshot_name
from tests.conftest import OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response
from tests.test_settlement import created, told, until_ended


async def test_a_job_of_an_earlier_life_is_counted_under_its_models_name(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        first = await open_house({"a.yaml": team("a", "key")}, upstream.url)
        job = await created(first.client("key"))
        kept = snapshot_name(upstream.url, ("models", "default"))
        await first.eventually(lambda: first.gw.ledger.load_snapshot(kept))
        upstream.answers["GET", f"{Q}/models"] = response(b"{}", "500 Oops")
        upstream.jobs[job]["status"] = "success"
        restarted = await open_house({}, upstream.url)
        asked = len(upstream.calls("GET", f"{Q}/models"))

        async def known() -> bool:
            return await told(restarted, 'gateway_jobs_active{model="Veo3",team="a"}') == "1.0"

        await restarted.eventually(known)
        assert await until_ended(restarted, restarted.client("key"), job) == "success"
        finished = 'gateway_jobs_finished_total{model="Veo3",outcome="success",team="a"}'
        assert await told(restarted, finished) == "1.0"
        assert 'model="other"' not in (await restarted.admin("/metrics")).text
        assert len(upstream.calls("GET", f"{Q}/models")) == asked


async def test_ca1_a_model_that_upstream_does_not_list_is_no_label(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key")}, upstream.url)
        for model in ("Veo3", "unlisted-1", "unlisted-2"):
            await created(house.client("key"), model)
        for name in ("gateway_jobs_created_total", "gateway_jobs_active"):
            assert float(await told(house, name + '{model="Veo3",team="a"}')) == 1
            assert float(await told(house, name + '{model="other",team="a"}')) == 2
        assert "unlisted" not in (await house.admin("/metrics")).text


async def test_ca1_without_a_listing_only_the_policys_names_are_labels(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        upstream.answers["GET", f"{Q}/models"] = response(b"{}", "500 Oops")
        allowed = 'models: {allow: ["*", "Veo3"]}'
        house = await open_house({"a.yaml": team("a", "key", allowed)}, upstream.url)
        for model in ("Veo3", "made-up-1", "made-up-2"):
            await created(house.client("key"), model)
        for name in ("gateway_jobs_created_total", "gateway_jobs_active"):
            assert float(await told(house, name + '{model="Veo3",team="a"}')) == 1
            assert float(await told(house, name + '{model="other",team="a"}')) == 2
        assert "made-up" not in (await house.admin("/metrics")).text
