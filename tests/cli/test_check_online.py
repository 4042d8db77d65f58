import pytest

from gateway.cli.check_online import _price
from gateway.core.detail import ModelDetail, Parameter, PriceInfo
from gateway.core.policy import Per, PolicySet, Price
from tests.command_line import Shell
from tests.conftest import REAL_KEY

TEAM = """\
team: ads
models:
  allow: [Veo3, "Sora*", "2f1c7a9e-*"]
limits: [1 USD per day]
"""
PRICES = """\
prices:
  - {models: [seedream-5.0-lite], usd: 0.035, per: image, images: max_images, default_images: 1}
  - {models: [Veo3], usd: 0.30, per: second, seconds: durationSeconds}
"""


@pytest.fixture
def online(shell: Shell, upstream: str) -> Shell:
    shell.environment |= {"GATEWAY_UPSTREAM_URL": upstream, "GMI_API_KEY": REAL_KEY}
    return shell


async def test_what_upstream_lists_matches_what_the_policies_say(online: Shell) -> None:
    checked = await online.run_beside("check", "--online")
    assert (checked.status, checked.err) == (0, "")
    assert checked.out == f"{online.policies}: 1 team, 1 key, 2 limits, 0 warnings\n"


async def test_patterns_and_prices_unlike_upstreams_are_warned_of(online: Shell) -> None:
    (online.policies / "ads.yaml").write_text(TEAM)
    (online.policies / "prices.yaml").write_text(PRICES)
    checked = await online.run_beside("check", "--online")
    lines = [line.removeprefix(f"{online.policies}/") for line in checked.out.splitlines()]
    assert checked.status == 0
    assert lines[0].startswith("ads.yaml:1:7: warning: 2f1c7a9e-5b0d-4c3e-9a76-0d8e4b6f1a25 has no price, and ads has")
    assert lines[1].startswith("ads.yaml:3:17: warning: ")
    assert lines[2] == (
        "prices.yaml:3:5: warning: a plain job of Veo3 costs 2.40 USD here and 3.20 USD upstream [price-differs]"
    )
    assert lines[3].endswith("3 warnings")


async def test_an_unpriced_model_is_no_matter_where_it_is_free(online: Shell) -> None:
    (online.policies / "ads.yaml").write_text(TEAM.replace('"Sora*", ', "") + "unpriced: free\n")
    checked = await online.run_beside("check", "--online")
    assert checked.out.endswith("0 warnings\n")


def test_a_default_that_cannot_be_priced_is_no_price() -> None:
    prices = (Price(("Veo*",), 400_000, Per.SECOND, "durationSeconds"),)
    detail = ModelDetail("Veo3", (Parameter("durationSeconds", "string", default="auto"),), PriceInfo(1, "request"))
    assert _price(PolicySet({}, {}, prices), "Veo3", detail) is None
    assert _price(PolicySet({}, {}), "Veo3", detail) == 1


def test_without_a_key_it_cannot_run(shell: Shell) -> None:
    checked = shell.run("check", "--online")
    assert (checked.status, checked.out) == (2, "")
    why = "no API key: GMI_API_KEY or GMI_API_KEY_FILE is not set"
    assert checked.err == f"gmi-gateway check: credential 'default': {why}\n"


def test_without_upstream_it_cannot_run(shell: Shell) -> None:
    shell.environment |= {"GATEWAY_UPSTREAM_URL": "http://127.0.0.1:1", "GMI_API_KEY": REAL_KEY}
    checked = shell.run("check", "--online")
    assert (checked.status, checked.out) == (2, "")
    assert checked.err.startswith("gmi-gateway check: upstream cannot be asked: The gateway cannot connect")


def test_a_set_with_errors_is_not_taken_online(shell: Shell) -> None:
    (shell.policies / "ads.yaml").write_text("team: ads\nnonsense: 1\n")
    assert shell.run("check", "--online").status == 1
