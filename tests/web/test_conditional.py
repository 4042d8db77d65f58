"""`If-None-Match`: CH4."""

import pytest

from gateway.web.conditional import unchanged


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        ([], False),
        ([b'"abc"'], True),
        ([b'W/"abc"'], True),
        ([b"*"], True),
        ([b" * "], True),
        ([b'"x", "abc"'], True),
        ([b'"x"', b'W/"y", "abc"'], True),
        ([b'"x"'], False),
        ([b"abc"], False),
        ([b'"ABC"'], False),
        ([b'"abc'], False),
        ([b""], False),
        ([b'"*"'], False),
    ],
)
def test_ch4_a_client_that_holds_the_tag_needs_no_body(lines: list[bytes], result: bool) -> None:  # noqa: FBT001
    assert unchanged(lines, b'"abc"') is result
