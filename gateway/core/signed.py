"""A signed upload URL in upstream's answer, and how the gateway's own takes its place there.

Upstream signs `content-type;host` (V4, Google Cloud Storage), so an upload carries exactly the type that was signed.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

STORAGE_HOSTS = ("storage.googleapis.com", "*.storage.googleapis.com")
"""Where GMI keeps files: what is uploaded, and what jobs leave."""

CONTENT_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "jpg": "image/jpg",  # no registered type, but the one that upstream signs
    "mp4": "video/mp4",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
"""What upstream signs for each of its file types."""

LIFE = 899.0
"""Seconds a signature holds."""

_BLANK = " \t\n\r"
_decoder = json.JSONDecoder()


class Member(NamedTuple):
    """A text in a JSON object: its value, and where it stands in the object's own text."""

    value: str
    start: int
    end: int


def find_text(text: str, name: str) -> Member:
    """The member `name` of the JSON object in `text`. ValueError unless it is there, once, and a string."""
    found: list[Member] = []
    position = _skip(text, 0, "{")
    while True:
        key, position = _decoder.raw_decode(text, _blank(text, position))
        start = _blank(text, _skip(text, position, ":"))
        value, position = _decoder.raw_decode(text, start)
        if key == name:
            if not isinstance(value, str):
                raise ValueError(f"`{name}` is no string")
            found.append(Member(value, start, position))
        position = _blank(text, position)
        if text[position : position + 1] != ",":
            break
        position += 1
    if len(found) != 1:
        raise ValueError(f"`{name}` does not stand there once")
    return found[0]


def replaced(text: str, member: Member, value: str) -> str:
    """The object with another value for the member. Everything else stays as it was written."""
    return f"{text[: member.start]}{json.dumps(value)}{text[member.end :]}"


def _blank(text: str, position: int) -> int:
    while text[position : position + 1] and text[position] in _BLANK:
        position += 1
    return position


def _skip(text: str, position: int, mark: str) -> int:
    position = _blank(text, position)
    if text[position : position + 1] != mark:
        raise ValueError(f"no `{mark}` where one must be")
    return position + 1
