import base64
import json

import pytest

from gateway.core.webhooks import (
    LONGEST_WAIT,
    TRIED_FOR,
    Result,
    Standing,
    asked_pause,
    is_taken,
    message,
    next_attempt,
    result_of,
    sign,
    signing_key,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_is_that_of_the_specifications_example() -> None:
    body = b'{"test": 2432232314}'
    signature = sign(signing_key(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_is_base64_after_its_prefix_and_plain_text_without() -> None:
    assert signing_key(SECRET) == base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert signing_key("a plain one") == b"a plain one"


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("whsec_no base64", "is no base64 after `whsec_`"),
        ("whsec_abc", "is no base64 after `whsec_`"),
        ("whsec_", "is empty"),
        ("", "is empty"),
    ],
)
def test_what_cannot_sign_is_refused_without_being_quoted(secret: str, problem: str) -> None:
    with pytest.raises(ValueError) as refused:
        signing_key(secret)
    assert str(refused.value) == problem


def test_a_message_holds_the_data_as_it_is() -> None:
    data = b'  {"b": 1.0,\n"a":2}\n'
    made = message("request.success", 1_800_000_000.7, data)
    assert made == b'{"type":"request.success","timestamp":"2027-01-15T08:00:00Z","data":{"b": 1.0,\n"a":2}}'
    assert list(json.loads(made)) == ["type", "timestamp", "data"]


def test_only_2xx_is_taken() -> None:
    assert [status for status in (199, 200, 204, 299, 300, 302, 404, 410, 500) if is_taken(status)] == [200, 204, 299]


def test_pauses_double_from_seconds_to_an_hour_for_a_day() -> None:
    now = 1000.0
    pauses: list[float] = []
    while (then := next_attempt(len(pauses) + 1, 1000.0, now, 0.5, 500)) is not None:
        pauses.append(then - now)
        now = then
    assert pauses[:5] == [5.0, 10.0, 20.0, 40.0, 80.0]
    assert max(pauses) == pauses[-1] == 3600.0
    assert TRIED_FOR - 3600.0 < now - 1000.0 <= TRIED_FOR


def test_luck_spreads_a_pause_by_a_fifth() -> None:
    assert [next_attempt(1, 0.0, 0.0, luck) for luck in (0.0, 0.5, 1.0)] == pytest.approx([4.0, 5.0, 6.0])
    assert next_attempt(10**6, 0.0, 0.0, 1.0) == pytest.approx(LONGEST_WAIT) == 4320.0


@pytest.mark.parametrize(
    ("status", "said", "pause"),
    [
        (429, "30", 30.0),
        (503, " 30 ", 30.0),
        (429, "0", 0.0),
        (429, "3601", 3600.0),
        (429, "9" * 5000, 3600.0),
        (500, "30", 0.0),
        (200, "30", 0.0),
        (429, "", 0.0),
        (429, "-30", 0.0),
        (429, "1.5", 0.0),
        (429, "1e3", 0.0),
        (429, "٣", 0.0),
        (429, "30, 60", 0.0),
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
    ],
)
def test_a_receiver_may_ask_for_a_pause_of_at_most_an_hour(status: int, said: str, pause: float) -> None:
    assert asked_pause(status, said) == pause


def test_a_pause_that_is_asked_for_is_kept_where_it_is_longer() -> None:
    assert next_attempt(1, 0.0, 0.0, 0.5, 429, 30.0) == 30.0
    assert next_attempt(1, 0.0, 0.0, 0.5, 429, 3.0) == 5.0
    assert next_attempt(1, 0.0, TRIED_FOR - 30.0, 0.5, 429, 30.0) == TRIED_FOR
    assert next_attempt(1, 0.0, TRIED_FOR - 29.0, 0.5, 429, 30.0) is None
    assert next_attempt(1, 0.0, 0.0, 0.5, 410, 30.0) is None


def test_who_says_gone_is_not_asked_again() -> None:
    assert next_attempt(1, 0.0, 0.0, 0.5, 410) is None


@pytest.mark.parametrize(
    ("standing", "status", "result"),
    [
        (Standing.DELIVERED, 204, Result.DELIVERED),
        (Standing.DUE, 500, Result.REFUSED),
        (Standing.DUE, None, Result.FAILED),
        (Standing.FAILED, 410, Result.GIVEN_UP),
        (Standing.FAILED, None, Result.GIVEN_UP),
    ],
)
def test_each_attempt_has_one_result(standing: Standing, status: int | None, result: Result) -> None:
    assert result_of(standing, status) is result
