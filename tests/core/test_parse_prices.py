from gateway.core.policy import Per, Price, Unpriced
from tests.policy_texts import TEAM, policy, problems


def prices(*items: str) -> tuple[Price, ...]:
    return policy(TEAM + "prices:\n" + "".join(f"  - {item}\n" for item in items)).prices


def test_prices_are_micro_dollars_in_the_order_of_the_file() -> None:
    found = prices(
        "{models: [Veo3], usd: 0.40, per: second, seconds: durationSeconds, default_seconds: 8}",
        '{models: ["seedance-*"], usd: 0.152, per: second, seconds: duration, when: {resolution: 720p, hd: true}}',
        '{models: ["Kling-*"], usd: 0.28, per: job}',
        '{models: ["seedream-*"], usd: 0.035, per: image, images: max_images, default_images: 1}',
        '{models: ["minimax-tts-*"], usd: 0.10, per: 1k characters, characters: text}',
        '{models: ["*"], usd: 0, per: job}',
    )
    assert found == (
        Price(("Veo3",), 400_000, Per.SECOND, "durationSeconds", 8),
        Price(("seedance-*",), 152_000, Per.SECOND, "duration", None, {"resolution": "720p", "hd": True}),
        Price(("Kling-*",), 280_000, Per.JOB),
        Price(("seedream-*",), 35_000, Per.IMAGE, "max_images", 1),
        Price(("minimax-tts-*",), 100_000, Per.THOUSAND_CHARACTERS, "text"),
        Price(("*",), 0, Per.JOB),
    )


def test_a_price_is_read_as_written_not_as_a_float() -> None:
    assert prices("{models: [Veo3], usd: 123456789.123456, per: job}")[0].amount == 123_456_789_123_456


def test_bu3_an_amount_that_is_none_is_refused() -> None:
    for amount in (".nan", "-1", "1e30", "0.0000001", "free"):
        assert problems(f"{TEAM}prices: [{{models: [Veo3], usd: {amount}, per: job}}]\n"), amount


def test_a_price_behind_a_condition_hides_nothing() -> None:
    assert (
        len(prices("{models: [Veo3], usd: 1, per: job, when: {hd: true}}", "{models: [Veo3], usd: 2, per: job}")) == 2
    )


def test_what_has_no_price_is_refused_unless_said_otherwise() -> None:
    assert policy(TEAM).unpriced is Unpriced.REFUSE
    assert policy(f"{TEAM}unpriced: free\n").unpriced is Unpriced.FREE


def test_a_price_that_is_no_table_is_named_where_it_stands() -> None:
    found = problems(f"{TEAM}prices: [cheap]\n")
    assert found == ["a.yaml:3:10: a price must be a table of fields: `models`, `usd`, `per`, `seconds`, …"]
