from argparse import Namespace
from pathlib import Path

import pytest

from gateway.cli.invocation import CannotRunError, Invocation, check_known, find_key, find_team
from gateway.core.policy import Key, PolicySet, Team


def test_a_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    call = Invocation(Namespace(port="1", host=None, team="a"), {"GATEWAY_PORT": "2", "GATEWAY_HOST": "::1"}, 0.0)
    assert (call.settings.port, call.settings.host, call.settings.admin_port) == (1, "::1", 9090)


def test_every_bad_setting_is_named() -> None:
    call = Invocation(Namespace(), {"GATEWAY_PORT": "http", "GATEWAY_PROT": "1"}, 0.0)
    with pytest.raises(CannotRunError) as caught:
        _ = call.settings
    assert "GATEWAY_PORT: must be a port" in str(caught.value)
    assert "GATEWAY_PROT: no such setting; did you mean GATEWAY_PORT?" in str(caught.value)


def test_policies_that_cannot_be_used_are_refused_with_their_problems(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("team: a\nnothing: 1\n")
    call = Invocation(Namespace(policies=str(tmp_path)), {}, 0.0)
    with pytest.raises(CannotRunError) as caught:
        call.load_policies()
    assert f"see `gmi-gateway check {tmp_path}`" in str(caught.value)
    assert f"{tmp_path / 'a.yaml'}:2:1: " in str(caught.value)


def test_a_team_and_its_key_are_found_by_name_or_the_nearest_is_suggested() -> None:
    web = Key("web", "")
    team = Team("films", keys=(web,))
    policy = PolicySet({"films": team}, {})
    assert find_key(find_team(policy, "films"), "web") is web
    with pytest.raises(CannotRunError, match="there is no team `flims`; did you mean `films`"):
        find_team(policy, "flims")
    with pytest.raises(CannotRunError, match="there is no team `news`; there is `films`"):
        find_team(policy, "news")
    with pytest.raises(CannotRunError, match="films has no key `wep`; did you mean `web`"):
        find_key(team, "wep")


def test_of_many_names_only_some_are_told() -> None:
    with pytest.raises(CannotRunError) as caught:
        check_known("there is no team", "zzzz", [f"team-{number:02}" for number in range(11)])
    assert str(caught.value).startswith("there is no team `zzzz`; there is `team-00`, ")
    assert str(caught.value).endswith(", `team-09`, …")
    with pytest.raises(CannotRunError, match=r"^there is no team `a`$"):
        check_known("there is no team", "a", [])
