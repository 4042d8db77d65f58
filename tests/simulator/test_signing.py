from dataclasses import replace

import pytest

from gateway.simulator.signing import StorageError, Upload, sign, verify

SECRET = b"a secret"
NOW = 1_800_000_000.0
UPLOAD = Upload("127.0.0.1:1", "/storage/a.png", "image/png")
QUERY = sign(SECRET, UPLOAD, NOW)


def refusal(upload: Upload = UPLOAD, query: str = QUERY, now: float = NOW) -> tuple[int, str]:
    with pytest.raises(StorageError) as caught:
        verify(SECRET, upload, query, now)
    return caught.value.status, caught.value.code


def test_the_query_has_the_fields_of_a_v4_signature() -> None:
    assert [pair.partition("=")[0] for pair in QUERY.split("&")] == [
        *("X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires"),
        *("X-Goog-SignedHeaders", "X-Goog-Signature"),
    ]
    assert "X-Goog-Expires=899&X-Goog-SignedHeaders=content-type%3Bhost&" in QUERY


@pytest.mark.parametrize("age", [0, 899])
def test_a_signed_upload_passes_until_it_expires(age: float) -> None:
    verify(SECRET, UPLOAD, QUERY, NOW + age)


def test_an_expired_url_is_refused() -> None:
    assert refusal(now=NOW + 899.1) == (400, "ExpiredToken")


@pytest.mark.parametrize(
    "change",
    [{"host": "localhost:1"}, {"path": "/storage/b.png"}, {"content_type": "image/jpeg"}],
)
def test_what_was_signed_may_not_change(change: dict[str, str]) -> None:
    assert refusal(replace(UPLOAD, **change)) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "query",
    [
        QUERY.replace("%3B", ";"),
        QUERY.replace("899", "900"),
        QUERY + "&extra=1",
        QUERY[:-1],
        QUERY[:-1] + "\xff",
        "X-Goog-Signature=&" + QUERY.partition("&X-Goog-Signature")[0] + "&X-Goog-Signature=",
    ],
)
def test_the_query_must_arrive_byte_for_byte(query: str) -> None:
    assert refusal(query=query) == (403, "SignatureDoesNotMatch")


def test_an_unsigned_upload_is_anonymous() -> None:
    assert refusal(query="") == (403, "AccessDenied")


def test_the_signed_content_type_must_be_sent() -> None:
    assert refusal(replace(UPLOAD, content_type="")) == (400, "MalformedSecurityHeader")
