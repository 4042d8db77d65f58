"""What the dashboard is made of."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.core.addresses import Target
from gateway.core.errors import Code
from gateway.core.lifecycle import State
from gateway.core.policy import Period
from gateway.core.windows import window_at
from gateway.ledger.delivery_values import Notice
from gateway.ledger.overview import Trouble
from gateway.ledger.values import OpenCounts
from gateway.outbound import Outside
from gateway.web.admin.figures import Figures
from gateway.web.admin.limits import limits_of_teams
from gateway.web.admin.overview import Money, add_up, gauges, live_by_team, overview
from tests.conftest import OpenHouse, Q, digest, team
from tests.fake_upstream import FakeUpstream
from tests.receiver import HOST, WEBHOOKS
from tests.scripted_upstream import response

IMAGE = "seedream-5.0-lite"


async def test_teams_show_their_fullest_limits_money_jobs_and_refusals(open_house: OpenHouse) -> None:
    limits = "limits: [2 jobs per day, 100 jobs per hour, {limit: 1 jobs per month, mode: shadow}]"
    house = await open_house({"a.yaml": team("marketing", "k", limits), "b.yaml": team("studio", "s")}, speed=1)
    for _ in range(2):
        await house.client("k").create("Veo3", {"prompt": "x", "durationSeconds": "4"})
    refused = await house.client("k").create(IMAGE)
    assert refused.status_code == 429
    await house.gw.refusals.write()
    view = await overview(house.gw, Figures(house.gw))
    marketing, studio = view.teams
    assert [(gauge.state.limit.name, gauge.level) for gauge in marketing.fullest] == [
        ("jobs-day", "full"),
        ("jobs-hour", "calm"),
    ]
    assert (marketing.live, marketing.refused, marketing.money.this, marketing.money.last) == (2, 1, 3_200_000, 0)
    assert (studio.live, studio.refused, studio.fullest, studio.money.this) == (0, 0, (), 0)
    assert (view.live, view.money.this) == (2, 3_200_000)
    assert [denial.code for denial in view.denials] == [Code.QUOTA_EXCEEDED]
    assert any(rule == "limit.jobs-day" for rule, _, _ in view.denials[0].steps)
    assert not view.spending_plot.is_empty
    assert not view.refusals_plot.is_empty
    assert view.notices == ()


async def test_what_somebody_should_look_at_is_said(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    gw = house.gw
    gw.metrics.circuit.show({("open",): 1})
    (house.policies / "a.yaml").write_text("team: a\nnonsense: 1\n")
    gw.policies.reload(gw.now())
    view = await overview(gw, Figures(gw))
    assert view.notices == (
        "The policy files have problems, so the last good policies stay in force.",
        "Upstream failed ten times in a row, so calls to it are spared until a probe succeeds.",
    )


async def test_up9_a_credential_that_upstream_refuses_is_named_until_it_works_again(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "k")}, upstream.url)
        upstream.answers["GET", f"{Q}/models"] = response(b"{}", "401 Unauthorized")
        assert (await house.client("k").get(f"{Q}/models")).status_code == 502
        told = (
            "Upstream takes no key of the credential default, so creates fail and ends of jobs are not seen: "
            "put a valid key into its file, or into its variable and restart. If the log says 403, look at its "
            "organisation (GMI_ORG_ID) as well."
        )
        assert (await overview(house.gw, Figures(house.gw))).notices == (told,)
        assert told in (await house.admin("/")).text
        del upstream.answers["GET", f"{Q}/models"]
        assert (await house.client("k").get(f"{Q}/models")).status_code == 200
        assert (await overview(house.gw, Figures(house.gw))).notices == ()


async def test_lost_creates_and_keys_that_expire_soon_are_noticed(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    gw = house.gw
    tomorrow = gw.now() + 2 * 86400
    ends = f"{datetime.fromtimestamp(tomorrow, UTC):%Y-%m-%d}"
    keys = [f"{{name: {name}, hash: '{digest(name)}', expires: {ends}}}" for name in ("web", "app")]
    keys.append(f"{{name: web-2, hash: '{digest('web-2')}'}}")
    (house.policies / "a.yaml").write_text(f"team: a\nkeys: [{', '.join(keys)}]\nmodels: {{allow: ['*']}}\n")
    gw.policies.reload(gw.now())

    async def open_counts(_: object) -> OpenCounts:
        return OpenCounts({State.UNKNOWN: 1}, None, {})

    monkeypatch.setattr(type(gw.ledger), "open_counts", open_counts)
    view = await overview(gw, Figures(gw))
    lost, rotated, expiring = view.notices
    assert lost.startswith("The answer of one create was lost;")
    assert rotated == f"The key web of a expires on {ends} 00:00 UTC; web-2 replaces it."
    assert expiring == f"The key app of a expires on {ends} 00:00 UTC."


def test_money_of_all_teams_is_added_up_and_its_end_only_where_each_can_be_told() -> None:
    assert add_up([Money(1, 2, 3), Money(10, 20, 30)]) == Money(11, 22, 33)
    assert add_up([Money(1, 2, 3), Money(10, 20, None)]) == Money(11, 22, None)
    assert add_up([]) == Money(0, 0, 0)


def test_live_jobs_are_counted_by_team() -> None:
    assert live_by_team({("a", "Veo3"): 2, ("a", "Kling"): 1, ("b", "Veo3"): 5}) == {"a": 3, "b": 5}


async def test_a_budget_that_will_be_used_up_early_says_when(open_house: OpenHouse) -> None:
    limits = "limits: [{limit: 2 USD per month, name: money}, {limit: 0 uploads per day, name: none}]"
    house = await open_house({"a.yaml": team("a", "k", limits)})
    [found] = (await limits_of_teams(house.gw, house.gw.policies.current.teams.values())).values()
    policy, month = house.gw.policies.current.teams["a"], window_at(Period.MONTH, "UTC", house.gw.now())
    half = month.starts + (month.ends - month.starts) / 2
    spent = [replace(each, state=each.state._replace(used=1_600_000 if each.state.ceiling else 0)) for each in found]
    none, money = gauges(spent, policy, half)
    assert (none.state.limit.name, none.level, none.full_at) == ("none", "full", None)
    assert (money.level, money.share) == ("high", 80)
    assert money.full_at is not None
    assert half < money.full_at < month.ends


async def test_a_gateway_that_ends_or_cannot_write_says_so(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    house.gw.draining.set()
    monkeypatch.setattr(type(house.gw.ledger), "healthy", False)
    assert (await overview(house.gw, Figures(house.gw))).notices == (
        "This gateway is shutting down.",
        "The ledger cannot be written: creates are refused.",
    )


async def test_webhooks_that_nobody_takes_are_shown_and_said_when_late(
    open_house: OpenHouse,
) -> None:
    house = await open_house({"a.yaml": team("a", "k", WEBHOOKS)}, outside=Outside(resolve=lambda _: ()))
    gw = house.gw
    assert ">none is due</small>" in (await house.admin("/")).text
    await gw.ledger.outbox.notify(Notice("limit", "one", "a", Target(HOST, "/in?token=t0ken"), b"{}"), gw.now() - 60)

    async def is_shown() -> bool:
        view = await overview(gw, Figures(gw))
        return view.webhooks.trouble == Trouble("a", HOST, "its name does not resolve") and view.notices == ()

    await house.eventually(is_shown)
    await gw.ledger.outbox.notify(Notice("limit", "two", "a", Target(HOST, "/"), b"{}"), gw.now() - 7300)
    (notice,) = (await overview(gw, Figures(gw))).notices
    assert notice.startswith("2 webhooks are still to be delivered, the first of them since ")
    assert notice.endswith(f": a's to {HOST}, its name does not resolve.")

    async def is_on_the_page() -> bool:
        shown = (await house.admin("/")).text
        assert "t0ken" not in shown
        words = f"oldest 2 h, last problem: its name does not resolve (a, {HOST})</small>"
        return words in shown and '<a href="/api/webhooks?state=due">2</a>' in shown

    await house.eventually(is_on_the_page, 15)
    assert len((await house.admin("/api/webhooks?state=due")).json()["webhooks"]) == 2


async def test_webhooks_that_were_given_up_are_counted_and_lead_to_their_list(open_house: OpenHouse) -> None:
    house = await open_house({"a.yaml": team("a", "k")})
    notice = Notice("limit", "one", "a", Target(HOST, "/"), b"{}")
    await house.gw.ledger.outbox.notify(notice, house.gw.now())

    async def is_given_up() -> bool:
        return (await overview(house.gw, Figures(house.gw))).webhooks.given_up == 1

    await house.eventually(is_given_up)
    shown = (await house.admin("/")).text
    assert '<a href="/api/webhooks?state=failed">1 given up in 24 h</a>, last problem: the team' in shown
