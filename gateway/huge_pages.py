"""The process's memory in huge pages (madvise(2), `MADV_COLLAPSE`, Linux 6.1), a region at a time.

A call touches some hundred objects that lie all over the heap, and with pages of 4 KiB the processor spends a tenth of
a forwarded poll on looking up where they are. Python and glibc ask for small pages, so what they have taken is put
together afterwards. A region that cannot be, or not now, stays as it is.
"""

import ctypes
import errno
import sys
from collections.abc import Iterator
from enum import Enum, auto
from pathlib import Path

SIZE = 2 * 1024**2
"""Bytes of a huge page; larger ones, of other processors, are not asked for."""

_POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")
_MADV_COLLAPSE = 25


class Collapse(Enum):
    """What came of asking for one huge page."""

    DONE = auto()
    IMPOSSIBLE = auto()
    """This kernel cannot, or not with this memory."""
    LATER = auto()
    """No memory is free in one piece at present."""


class HugePages:
    """Which regions of the heap are to become huge pages. None where the administrator has switched them off."""

    def __init__(self, maps: Path = _MAPS, policy: Path = _POLICY) -> None:
        self._maps = maps
        self._policy = policy
        self._before: frozenset[int] = frozenset()
        self._judged: set[int] = set()

    def due(self) -> list[int]:
        """The addresses to be collapsed: what was there at the last look as well, and was not judged since.

        What comes and goes with one large body is not worth it.
        """
        if not self.is_allowed():
            return []
        regions = frozenset(regions_of(self._maps.read_text()))
        lasting, self._before = regions & self._before, regions
        self._judged &= regions
        return sorted(lasting - self._judged)

    def collapse(self, address: int) -> bool:
        """Make one huge page of the region; takes milliseconds. Whether it makes sense to go on with the next one."""
        outcome = collapse(address)
        if outcome is not Collapse.LATER:
            self._judged.add(address)
        return outcome is not Collapse.LATER

    def is_allowed(self) -> bool:
        """Whether this system has huge pages, and nobody has switched them off."""
        try:
            return "[never]" not in self._policy.read_text()
        except OSError:
            return False


def regions_of(maps: str) -> Iterator[int]:
    """Where whole huge pages would lie in the heap, by the text of `/proc/PID/maps` (proc_pid_maps(5)).

    Behind memory that nobody may touch lies a thread's stack, of which little is ever used.
    """
    guard_end = 0
    for line in maps.splitlines():
        extent, access, _, _, inode, *name = line.split()
        start, end = (int(text, 16) for text in extent.split("-"))
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]) and start != guard_end:
            yield from range(-(-start // SIZE) * SIZE, end - SIZE + 1, SIZE)
        guard_end = end if access == "---p" else 0


def collapse(address: int) -> Collapse:
    """Make one huge page of the region at this address."""
    if sys.platform != "linux":
        return Collapse.IMPOSSIBLE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), _MADV_COLLAPSE) == 0:
        return Collapse.DONE
    return Collapse.IMPOSSIBLE if ctypes.get_errno() == errno.EINVAL else Collapse.LATER
