"""The process's memory in huge pages (madvise(2), `MADV_COLLAPSE`, Linux 6.1), a region at a time.

A call touches some hundred objects that lie all over the heap, and with pages of 4 KiB the processor spends 6 to 8
hundredths of a forwarded poll on looking up where they are. Python and glibc ask for small pages, so what they have
taken is put together afterwards. A region that cannot be, or not now, stays as it is.
"""

import ctypes
import errno
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

SIZE = 2 * 1024**2
"""Bytes of a huge page; larger ones, of other processors, are not asked for."""

_POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")
_MADV_COLLAPSE = 25

_NONE_FREE = (errno.ENOMEM, errno.EBUSY)
"""What the kernel answers while it has no huge page to give, or the container may have no more memory."""

_TRIED_FOR = 30
"""Looks after which a region is tried again: it may have been filled since, or split, or be another one."""


class HugePages:
    """Which regions of the heap are to become huge pages. None where the administrator has switched them off."""

    def __init__(self, maps: Path = _MAPS, policy: Path = _POLICY) -> None:
        self._maps = maps
        self._policy = policy
        self._before: frozenset[int] = frozenset()
        self._tried: set[int] = set()
        self._looks = 0

    def due(self) -> list[int]:
        """The addresses to be collapsed: what was there at the last look as well, and was not tried lately.

        What comes and goes with one large body is not worth it.
        """
        regions = frozenset(regions_of(self._read_maps())) if self.are_allowed() else frozenset[int]()
        lasting, self._before = regions & self._before, regions
        self._looks += 1
        if self._looks % _TRIED_FOR == 0:
            self._tried.clear()
        self._tried &= regions
        return sorted(lasting - self._tried)

    def collapse(self, address: int) -> bool:
        """Make one huge page of the region, which takes milliseconds. False if there is none to be had at present."""
        if collapse(address) in _NONE_FREE:
            return False
        self._tried.add(address)
        return True

    def are_allowed(self) -> bool:
        """Whether this system has huge pages, and nobody has switched them off."""
        try:
            return "[never]" not in self._policy.read_text()
        except OSError:
            return False

    def _read_maps(self) -> bytes:
        try:
            return self._maps.read_bytes()
        except OSError:
            return b""


def regions_of(maps: bytes) -> Iterator[int]:
    """Where whole huge pages would lie in the heap, by what stands in `/proc/PID/maps` (proc_pid_maps(5)).

    Behind memory that nobody may touch lies a thread's stack, of which little is ever used.
    """
    guard_end = 0
    for line in maps.split(b"\n"):
        if not line:
            continue
        extent, access, _, _, inode, *name = line.split()
        start, end = (int(text, 16) for text in extent.split(b"-"))
        is_heap = not name or name[0].startswith((b"[heap]", b"[anon:"))
        if access == b"rw-p" and inode == b"0" and is_heap and start != guard_end:
            yield from range(-(-start // SIZE) * SIZE, end - SIZE + 1, SIZE)
        guard_end = end if access == b"---p" else 0


def collapse(address: int) -> int:
    """Make one huge page of the region at this address: 0, or why that cannot be (errno(3))."""
    madvise = _madvise()
    if madvise is None:
        return errno.ENOSYS
    done = madvise(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), _MADV_COLLAPSE) == 0
    return 0 if done else ctypes.get_errno()


@cache
def _madvise() -> Callable[..., int] | None:
    return ctypes.CDLL(None, use_errno=True).madvise if sys.platform == "linux" else None
