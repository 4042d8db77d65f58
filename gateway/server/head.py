"""A request up to its body, as it was read."""

from typing import Any, Self

import msgspec

from gateway.server.framing import Field


class Head(msgspec.Struct):
    """A complete, acceptable request head. Header names are in lower case, `target` is as it was sent.

    `framing` are those of its headers that `FRAMING_FIELDS` names: where there is one alone, that is the Host. `notes`
    are the app's: what it has found out by the headers alone may come again with a request that has the same.
    """

    method: str
    target: bytes
    version: str
    headers: list[Field]
    framing: list[Field]
    expects_continue: bool
    keep_alive: bool
    notes: dict[str, Any]

    def again(self, target: bytes) -> Self:
        """The same with another target."""
        return msgspec.structs.replace(self, target=target)
