"""When each team key last called, as this process knows it."""

import msgspec

Key = tuple[str, str]
"""Team and key, by their names."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[str, str, float]]).decode


class KeyUses:
    """The last call of each key, in memory: only keys of policies are noted, so it stays small.

    It begins empty with every start, and is no evidence that a key was not used before.
    """

    def __init__(self) -> None:
        self._last: dict[Key, float] = {}

    def note(self, team: str, key: str, now: float) -> None:
        """A call with this key, whatever came of it."""
        self._last[team, key] = now

    def dump(self) -> bytes:
        """All of them, for another worker's `latest`."""
        return _encode([(*key, instant) for key, instant in self._last.items()])

    def latest(self, others: list[bytes]) -> dict[Key, float]:
        """The last call of each key, here or at those whose dumps are `others`: unix seconds."""
        last = dict(self._last)
        for dump in others:
            for team, key, instant in _decode(dump):
                last[team, key] = max(instant, last.get((team, key), instant))
        return last
