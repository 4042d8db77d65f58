"""How much memory this process may take, where a container or a service manager bounds it (cgroups(7))."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIP = Path("/proc/self/cgroup")
_HIERARCHIES = Path("/sys/fs/cgroup")
_UNBOUNDED = 2**60
"""Bytes from which on a bound is none: the first version of cgroups writes the largest number of pages."""


def memory_limit(membership: Path = _MEMBERSHIP, hierarchies: Path = _HIERARCHIES) -> int | None:
    """Bytes after which the kernel would end this process; None where nothing bounds them.

    The bound of a group holds for all below it. Seen from within a container a group's path may lead nowhere; then the
    root of the hierarchy is the container's own.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    limits = [_read(path) for line in lines for path in _files(line, hierarchies)]
    return min((limit for limit in limits if limit is not None), default=None)


def _files(line: str, hierarchies: Path) -> Iterator[Path]:
    """Where the bounds of one membership are written, the group's own and those above it."""
    _, controllers, path = line.split(":", 2)
    if not controllers:
        root, name = hierarchies, "memory.max"
    elif "memory" in controllers.split(","):
        root, name = hierarchies / "memory", "memory.limit_in_bytes"
    else:
        return
    group = PurePosixPath(path)
    for each in (group, *group.parents):
        yield root / str(each).strip("/") / name


def _read(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _UNBOUNDED else None
