"""What the page of one team is made of."""

from gateway.ledger.values import UsageRow
from gateway.web.admin.figures import Figures
from gateway.web.admin.team_view import ModelLine, models_of, team_view
from tests.conftest import OpenHouse, team

IMAGE = "seedream-5.0-lite"


async def test_jobs_money_keys_and_refusals_of_the_team_alone(open_house: OpenHouse) -> None:
    files = {"a.yaml": team("marketing", "k", "limits: [2 jobs at once]"), "b.yaml": team("studio", "s")}
    house = await open_house(files, speed=10)
    await house.client("s").create()
    ended = (await house.client("k").create(IMAGE)).json()["request_id"]
    live = [(await house.client("k").create()).json()["request_id"] for _ in range(2)]
    await house.client("k").create()
    await house.gw.refusals.write()
    view = await team_view(house.gw, Figures(house.gw), house.gw.policies.current.teams["marketing"])
    assert ([job.request_id for job in view.live], view.live_total) == (live[::-1], 2)
    assert [job.request_id for job in view.ended] == [ended]
    assert [(line.model, line.jobs, line.open) for line in view.models] == [("Veo3", 2, 2), (IMAGE, 1, 0)]
    assert view.money.this == 2 * 3_200_000 + 35_000
    assert [(each.key.name, each.last_seen is not None) for each in view.keys] == [("main", True)]
    assert [denial.code for denial in view.denials] == ["concurrency_exceeded"]
    assert view.refusals.totals == (1,)
    assert [(gauge.state.limit.name, gauge.level) for gauge in view.limits] == [("jobs-at-once", "full")]


def row(key: str, model: str, jobs: int, spent: int) -> UsageRow:
    return UsageRow("a", key, model, jobs, jobs, 0, 0, spent, 0, 1, 0)


def test_a_model_is_one_line_whatever_keys_used_it_the_dearest_first() -> None:
    rows = [
        row("web", "Kling", 1, 5),
        row("web", "Veo3", 2, 10),
        row("batch", "Veo3", 3, 20),
        row("web", "other", 0, 0),
    ]
    assert models_of(rows) == (ModelLine("Veo3", 5, 5, 0, 0, 30), ModelLine("Kling", 1, 1, 0, 0, 5))
