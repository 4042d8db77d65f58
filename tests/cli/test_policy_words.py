"""Parts of a policy in words: what is not in a golden of `diff`."""

from gateway.cli.policy_words import key_text, limit_text, notify_text, rule_text, uploads_text, webhooks_text
from gateway.core.addresses import Target
from gateway.core.policy import Key, Limit, Override, ParameterRule, Period, Unit, Uploads
from tests.core.worlds import NOON, at


def test_overrides_are_told_in_the_order_they_end_and_those_that_are_over_not_at_all() -> None:
    overrides = (
        Override(9, at("2026-11-01T00:00"), "over"),
        Override(20, at("2026-12-01T00:00"), "now"),
        Override(15, at("2027-01-01T00:00"), "then"),
    )
    limit = Limit("jobs-day", 10, Unit.JOBS, Period.DAY, overrides=overrides)
    assert limit_text(limit, NOON, "UTC") == (
        "20 jobs per day until 2026-12-01 00:00 UTC, then 15 jobs per day "
        "until 2027-01-01 00:00 UTC, then 10 jobs per day"
    )


def test_a_key_says_when_it_ends_on_its_teams_clock() -> None:
    key = Key("web", "", expires=at("2027-01-01T00:00"))
    assert key_text(key, NOON, "Asia/Tokyo") == "models, jobs, uploads, expires 2027-01-01 09:00 Asia/Tokyo"


def test_a_rule_names_each_of_its_conditions() -> None:
    rule = ParameterRule("seed", one_of=(None, True, 1.5, "a"), minimum=0, maximum=9)
    assert rule_text(rule) == "one of null, true, 1.5, a, at least 0, at most 9"


def test_nothing_has_words_too() -> None:
    assert uploads_text(Uploads((), relay=True)) == "no file type, up to 50 MiB, relayed"
    assert webhooks_text(None) == "none"


def test_whom_warnings_go_to_is_told_without_the_query() -> None:
    assert notify_text(None) == "nobody"
    assert notify_text(Target("a.example", "/limits?token=t0ken")) == "https://a.example/limits"
