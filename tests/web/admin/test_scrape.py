"""What Prometheus reads from a running gateway."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.core.addresses import Target
from gateway.ledger.delivery_values import Notice
from gateway.outbound import Outside
from gateway.telemetry import Metrics
from gateway.web.admin.scrape import dump_metrics, look_up
from tests.conftest import House, OpenHouse, digest, team
from tests.receiver import HOST, WEBHOOKS

LIMITS = """
limits:
  - 600 requests per minute
  - 2 jobs per day
  - {limit: 10 USD per month, name: money}
"""


async def samples(house: House) -> dict[str, float]:
    """Every series by name and labels, as `gateway_x{a=1,b=2}`."""
    text = (await house.admin("/metrics")).text
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_limits_and_jobs_are_looked_up(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k", LIMITS)})
    assert (await house.client("k").create(payload={"prompt": "x", "durationSeconds": "4"})).status_code == 200
    seen = await samples(house)
    assert seen["gateway_quota_limit{limit=jobs-day,team=marketing}"] == 2
    assert seen["gateway_quota_used{limit=jobs-day,team=marketing}"] == 1
    assert seen["gateway_quota_limit{limit=money,team=marketing}"] == 10
    assert seen["gateway_quota_used{limit=money,team=marketing}"] == 1.6
    assert seen["gateway_jobs_active{model=Veo3,team=marketing}"] == 1
    assert seen["gateway_reservations_open{state=placed}"] == 1
    assert seen["gateway_reservations_open{state=unknown}"] == 0
    assert seen["gateway_reservation_age_max_seconds{}"] == 0
    assert seen["gateway_ledger_up{}"] == 1
    assert seen["gateway_policy_last_reload_successful{}"] == 1
    assert seen[f"gateway_policy_info{{hash={house.gw.policies.version}}}"] == 1


async def test_webhooks_still_to_be_delivered_are_looked_up(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "k", WEBHOOKS)}, outside=Outside(resolve=lambda _: ()))
    assert (await samples(house))["gateway_webhooks_due{}"] == 0
    notice = Notice("limit", "one", "a", Target(HOST, "/in"), b"{}")
    await house.gw.ledger.outbox.notify(notice, house.gw.now() - 120)
    attempts = "gateway_webhook_attempts_total{result=failed}"

    async def is_counted() -> bool:
        return (await samples(house)).get(attempts) == 1

    await house.eventually(is_counted)
    await look_up(house.gw)
    seen = await samples(house)
    assert seen["gateway_webhooks_due{}"] == 1
    assert 120 <= seen["gateway_webhook_age_max_seconds{}"] < 240


async def test_a_limit_of_each_key_shows_the_fullest(open_house: OpenHouse) -> None:
    keys = f"  - {{name: second, hash: '{digest('k2')}'}}\n"
    text = team("marketing", "k1").replace("models:", keys + "models:")
    house = await open_house({"a.yaml": text + "limits:\n  - {limit: 5 jobs per day, per: key, name: own}\n"})
    for key in ("k1", "k2", "k2"):
        assert (await house.client(key).create()).status_code == 200
    seen = await samples(house)
    assert seen["gateway_quota_used{limit=own,team=marketing}"] == 2
    assert seen["gateway_quota_limit{limit=own,team=marketing}"] == 5


async def test_ca2_removed_teams_and_keys_leave_no_series(open_house: OpenHouse) -> None:
    expiring = team("studio", "s").replace("  - name: main", "  - name: old\n    expires: 2099-01-01")
    house = await open_house({"a.yaml": team("marketing", "k", LIMITS), "b.yaml": expiring + LIMITS})
    await house.client("s").get("/nope")
    seen = await samples(house)
    assert seen["gateway_key_expiry_timestamp_seconds{key=old,team=studio}"] == 4070908800
    assert "gateway_denied_total{reason=unknown_route,team=studio}" in seen
    old_version = house.gw.policies.version
    (house.policies / "b.yaml").unlink()
    assert (await house.http.post(house.running.admin_url + "/reload")).status_code == 200
    text = (await house.admin("/metrics")).text
    assert "studio" not in text
    assert "marketing" in text
    assert old_version not in text


async def test_ca2_a_removed_team_shows_its_jobs_until_they_have_ended(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k"), "b.yaml": team("studio", "s")})
    assert (await house.client("s").create()).status_code == 200
    (house.policies / "b.yaml").unlink()
    await house.http.post(house.running.admin_url + "/reload")
    assert (await samples(house))["gateway_jobs_active{model=Veo3,team=studio}"] == 1


async def test_ca3_a_flood_of_unknown_keys_is_one_series(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    before = set(await samples(house))
    for number in range(50):
        await house.client(f"unknown-{number}").get("/api/v1/anything")
    new = {name for name in set(await samples(house)) - before if "_bucket" not in name}
    assert "gateway_denied_total{reason=key_invalid,team=other}" in new
    assert not [name for name in new if "unknown" in name]
    assert len(new) < 10


async def test_ca1_what_clients_write_becomes_no_label(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    client = house.client("k")
    for number in range(20):
        await client.call("GET", f"/canary-{number}")
        await client.call("PROPFIND", f"/canary-{number}", headers={"User-Agent": f"canary-{number}"})
        await client.create(model=f"canary-{number}")
        await client.get(f"/api/v1/ie/requestqueue/apikey/requests/canary-{number}")
    text = (await house.admin("/metrics")).text.lower()
    assert "canary" not in text
    assert 'method="other"' in text


async def test_without_ledger_what_was_known_is_shown_and_that_it_is_down(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("marketing", "k", LIMITS)})
    await house.client("k").create()
    await samples(house)
    await house.gw.ledger.close()
    await look_up(house.gw)
    seen = await samples(house)
    assert seen["gateway_ledger_up{}"] == 0
    assert seen["gateway_quota_used{limit=jobs-day,team=marketing}"] == 1


async def test_a_ledger_that_hangs_does_not_hang_the_scrape(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    monkeypatch.setattr("gateway.web.admin.scrape._PATIENCE", 0.05)

    async def hang(*_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(type(house.gw.ledger), "open_counts", hang)
    assert await samples(house)


@pytest.mark.parametrize("well", [True, False])
async def test_the_ledger_is_up_as_readiness_has_it_however_long_looking_up_takes(
    open_house: OpenHouse,
    monkeypatch: pytest.MonkeyPatch,
    well: bool,  # noqa: FBT001
) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    monkeypatch.setattr("gateway.web.admin.scrape._PATIENCE", 0.0)
    monkeypatch.setattr(type(house.gw.ledger), "healthy", well)
    assert (await house.admin("/readyz")).status_code == (200 if well else 503)
    assert (await samples(house))["gateway_ledger_up{}"] == well
    sibling = Metrics("1.2.3")
    sibling.ledger_up.set(1)
    assert f"gateway_ledger_up {float(well)}" in sibling.render("", [await dump_metrics(house.gw)])[0].decode()


async def test_many_scrapers_cost_the_ledger_one_look(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    looks = 0
    real = type(house.gw.ledger).open_counts

    async def counted(ledger: Any) -> Any:
        nonlocal looks
        looks += 1
        return await real(ledger)

    monkeypatch.setattr(type(house.gw.ledger), "open_counts", counted)
    answers = await asyncio.gather(*(house.admin("/metrics") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert looks == 1


async def test_the_text_is_written_off_the_loop(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    threads: list[threading.Thread] = []
    real = Metrics.render

    def watched(metrics: Metrics, *arguments: Any) -> tuple[bytes, str]:
        threads.append(threading.current_thread())
        return real(metrics, *arguments)

    monkeypatch.setattr(Metrics, "render", watched)
    await house.admin("/metrics")
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0"),
        ("*/*", "text/plain; version=0.0.4"),
    ],
)
async def test_prometheus_chooses_the_format(open_house: OpenHouse, accept: str, media_type: str) -> None:
    house = await open_house({"a.yaml": team("marketing", "k")})
    answer: httpx.Response = await house.http.get(house.running.admin_url + "/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith(media_type)


async def test_se1_no_secret_is_scraped(open_house: OpenHouse, tmp_path: Path) -> None:
    house = await open_house({"a.yaml": team("marketing", "canary-team-key")})
    await house.client("canary-team-key").create(payload={"prompt": "canary prompt"})
    await house.client("canary-wrong-key").create()
    assert "canary" not in (await house.admin("/metrics")).text
