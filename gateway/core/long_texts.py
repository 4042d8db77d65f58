"""The long texts of a JSON body, told from the rest of it.

A large body is large because of a few long texts, files mostly, in which nothing is judged: reading them with the care
that the rest needs would take longer than everything else about a create. So they are cut out, and the rest is read
strictly.

Why the rest says the same. What is cut out are two quotes with everything between them, where that holds no third quote
and no backslash. In its place stands `NaN`, which is no JSON and which the rest holds nowhere else. If a strict reader
that takes `NaN` for a value accepts the rest and meets as many as were put in, each stands where a value may: the two
quotes were the first and the last of one text. Had they been anything else, such as the end of one text and the
beginning of the next, a `NaN` would stand in a text, or the rest would be no JSON.

A long text itself must be UTF-8. Of a body that is ASCII, as one with files in base64 is, that is known without reading
its texts one by one: there they are left where they stand until somebody asks for one. Control characters, which JSON
wants escaped, are left to upstream to refuse: to look for them takes as long as all else about a large create, and a
parser that puts up with them ends the text at the same quote.
"""

from dataclasses import dataclass
from typing import NamedTuple

LONG = 64 * 1024
"""Bytes from which on a text is cut out."""

PLACEHOLDER = "NaN"


@dataclass(frozen=True, slots=True)
class LongText:
    """A text in ASCII that is still part of its body. `str` makes one of its own of it, as large once more."""

    view: memoryview

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, part: slice) -> str:
        return str(bytes(self.view[part]), "ascii")

    def __str__(self) -> str:
        return str(self.view, "ascii")

    def __hash__(self) -> int:
        return hash(str(self))

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, str | LongText) else NotImplemented


class Abridged(NamedTuple):
    """A body without its long texts, which stand in `texts` without their quotes, in their order."""

    rest: bytes
    texts: list[memoryview]
    is_ascii: bool


def abridge(body: bytes, long: int = LONG) -> Abridged | None:
    """The body without its texts of `long` bytes or more; None if it has none, or holds the placeholder itself."""
    view, kept, texts = memoryview(body), [], []
    start = 0
    opening = body.find(b'"')
    while opening >= 0 and len(body) - opening > long:
        # The next quote is looked for from afar, so that a body full of quotes is passed in few steps.
        closing = body.rfind(b'"', opening + 1, opening + 1 + long)
        if closing < 0:
            closing = body.find(b'"', opening + 1 + long)
            if closing >= 0 and body.find(b"\\", opening, closing) < 0:
                kept.append(body[start:opening])
                start = closing + 1
                texts.append(view[opening + 1 : closing])
                closing = body.find(b'"', start)
        opening = closing
    kept.append(body[start:])
    placeholder = PLACEHOLDER.encode()
    if not texts or any(placeholder in part for part in kept):
        return None
    return Abridged(placeholder.join(kept), texts, body.isascii())
