"""The files a finished job left: found in its `outcome` (a field of GMI's record), each with a name and a type.

The shape of an outcome differs by model and drifts for one and the same model. So it is searched whole, for two
things: a URL whose member says that it is one (`video_url`, `media_urls[].url`), and inline data as the vendors behind
GMI write it (`inlineData` with `mimeType` and `data`). A name is made of where in the outcome the file was found, so it
is the same at every look, and holds nothing that a file system or a header could read as something else.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

MOST_ARTIFACTS = 100
_DEEPEST = 16
_LONGEST_STEM = 80

TYPES: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "m4a": "audio/mp4",
}
"""Media types by extension: what a browser shows or plays, and never runs."""

ANY_TYPE = "application/octet-stream"
"""The type of what may be anything (RFC 2046 §4.5.1): it is stored, not shown."""

_EXTENSIONS = {media_type: extension for extension, media_type in TYPES.items() if extension != "jpeg"}
_NO_EXTENSION = "bin"
_URL_MEMBER = re.compile(r"(?:(?P<stem>.*)_)?urls?", re.IGNORECASE | re.DOTALL)
_SILENT = ("inlineData", "inline_data")
_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,5})(?:[?#]|\Z)")


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file: at `url`, or in the outcome itself as `data`, in base64. `name` is one of the job's own."""

    name: str
    type: str
    url: str = field(default="", repr=False)
    data: str = field(default="", repr=False)


class _Found(NamedTuple):
    path: tuple[str, ...]
    extension: str
    url: str = ""
    data: str = ""


def find_artifacts(outcome: Any) -> tuple[Artifact, ...]:
    """The files of an outcome in its order, at most `MOST_ARTIFACTS`, no two of one name."""
    artifacts: dict[str, Artifact] = {}
    for found in islice(_search(outcome, (), 0), MOST_ARTIFACTS):
        stem = _stem_of(found.path)
        made = Artifact(
            f"{stem}.{found.extension}", TYPES.get(found.extension, ANY_TYPE), url=found.url, data=found.data
        )
        number = 1
        while made.name in artifacts:
            number += 1
            made = replace(made, name=f"{stem}-{number}.{found.extension}")
        artifacts[made.name] = made
    return tuple(artifacts.values())


def safe_type(media_type: str) -> str:
    """The type to serve what is said to be `media_type` under: itself if nothing runs it, else `ANY_TYPE`."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain if plain in _EXTENSIONS else ANY_TYPE


def _search(value: Any, path: tuple[str, ...], depth: int) -> Iterator[_Found]:
    """Every file in a value of the outcome, which stands at `path`."""
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        yield from _search_object(value, path, depth)
    elif isinstance(value, list):
        listed = bool(path) and _URL_MEMBER.fullmatch(path[-1]) is not None
        for index, item in enumerate(value):
            below = (*path, str(index))
            if isinstance(item, str) and listed and _is_url(item):
                yield _Found(below, _extension_of(item), url=item)
            else:
                yield from _search(item, below, depth + 1)


def _search_object(value: dict[str, Any], path: tuple[str, ...], depth: int) -> Iterator[_Found]:
    data, media_type = value.get("data"), value.get("mimeType", value.get("mime_type"))
    if isinstance(data, str) and data and isinstance(media_type, str):
        yield _Found(path, _EXTENSIONS.get(safe_type(media_type), _NO_EXTENSION), data=data)
    told = value.get("format")
    for name, member in value.items():
        if not isinstance(member, str):
            yield from _search(member, (*path, name), depth + 1)
        elif _URL_MEMBER.fullmatch(name) and _is_url(member):
            yield _Found((*path, name), _extension_of(member, told if isinstance(told, str) else ""), url=member)


def _is_url(text: str) -> bool:
    return text[:8].lower().startswith(("https://", "http://"))


def _extension_of(url: str, told: str = "") -> str:
    """What kind of file a URL leads to, by its last part, else by what its neighbour `format` says."""
    last = _EXTENSION.search(url.partition("?")[0].partition("#")[0].rpartition("/")[2])
    for extension in (last[1].lower() if last is not None else "", told.lower()):
        if extension in TYPES:
            return extension
    return _NO_EXTENSION


def _stem_of(path: tuple[str, ...]) -> str:
    """A name without its extension: the members on the way to the file, without the words that say `URL`."""
    parts = []
    for member in path:
        match = _URL_MEMBER.fullmatch(member)
        text = (match["stem"] or "") if match is not None else "" if member in _SILENT else member
        parts.append(re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_"))
    return "-".join(part for part in parts if part)[:_LONGEST_STEM].strip("-_") or "file"
