"""Memory in huge pages: which regions are put together, and that the kernel really does so."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import huge_pages
from gateway.huge_pages import SIZE, Collapse, HugePages, regions_of

MEBIBYTE = 1024**2
ALLOWED = "always [madvise] never\n"


def line(start: int, end: int, access: str = "rw-p", inode: int = 0, name: str = "") -> str:
    """One mapping as the kernel writes it, of so many MiB."""
    device = "00:00" if inode == 0 else "08:01"
    return f"{start * MEBIBYTE:x}-{end * MEBIBYTE:x} {access} 00000000 {device} {inode} {name}".rstrip() + "\n"


def regions(*lines: str) -> list[int]:
    """In MiB."""
    return [address // MEBIBYTE for address in regions_of("".join(lines))]


def test_only_whole_aligned_pages_are_regions() -> None:
    assert regions(line(3, 9)) == [4, 6]
    assert regions(line(4, 8)) == [4, 6]
    assert regions(line(3, 5)) == []
    assert regions(line(4, 5)) == []


def test_only_the_heap_is_looked_at() -> None:
    assert regions(line(4, 6, name="[heap]"), line(8, 10)) == [4, 8]
    assert regions(line(4, 6, access="r-xp", inode=7, name="/usr/bin/python3")) == []
    assert regions(line(4, 6, inode=7, name="/a file/with a space")) == []
    assert regions(line(4, 6, access="rw-s")) == []
    assert regions(line(4, 6, access="r--p")) == []
    assert regions(line(4, 6, name="[stack]")) == []


def test_the_stack_of_a_thread_is_left_in_small_pages() -> None:
    assert regions(line(3, 4, access="---p"), line(4, 12), line(12, 14)) == [12]
    assert regions(line(2, 3, access="---p"), line(4, 6)) == [4], "a gap between them: this is no guard of that"


class Heap:
    """A process's mappings, as files."""

    def __init__(self, folder: Path) -> None:
        self.maps, self.policy = folder / "maps", folder / "enabled"
        self.policy.write_text(ALLOWED)
        self.pages = HugePages(self.maps, self.policy)

    def due(self, *lines: str) -> list[int]:
        """What is due, in MiB, when these are mapped."""
        self.maps.write_text("".join(lines))
        return [address // MEBIBYTE for address in self.pages.due()]


@pytest.fixture
def heap(tmp_path: Path) -> Heap:
    """An empty one."""
    return Heap(tmp_path)


def outcome_of(monkeypatch: pytest.MonkeyPatch, outcome: Collapse) -> None:
    """Whatever is collapsed comes to this."""
    monkeypatch.setattr(huge_pages, "collapse", lambda _: outcome)


def test_what_has_lasted_is_put_together_once(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, Collapse.DONE)
    assert heap.due(line(4, 6)) == []
    assert heap.due(line(4, 8)) == [4]
    assert heap.pages.collapse(4 * MEBIBYTE)
    assert heap.due(line(4, 8)) == [6], "what came since has lasted now"
    assert heap.pages.collapse(6 * MEBIBYTE)
    assert heap.due(line(4, 8)) == []


def test_what_was_given_back_and_taken_anew_counts_as_new(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, Collapse.DONE)
    heap.due(line(4, 6))
    for address in heap.pages.due():
        heap.pages.collapse(address)
    assert heap.due() == []
    assert heap.due(line(4, 6)) == []
    assert heap.due(line(4, 6)) == [4]


def test_a_region_that_cannot_be_is_not_tried_again(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, Collapse.IMPOSSIBLE)
    heap.due(line(4, 8))
    assert heap.due(line(4, 8)) == [4, 6]
    assert heap.pages.collapse(4 * MEBIBYTE), "the next one may be possible"
    assert heap.due(line(4, 8)) == [6]


def test_without_memory_in_one_piece_it_is_tried_later(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, Collapse.LATER)
    heap.due(line(4, 8))
    heap.due(line(4, 8))
    assert not heap.pages.collapse(4 * MEBIBYTE), "nor the next one, now"
    assert heap.due(line(4, 8)) == [4, 6]


def test_an_administrator_who_wants_none_gets_none(heap: Heap) -> None:
    heap.policy.write_text("always madvise [never]\n")
    heap.due(line(4, 8))
    assert heap.due(line(4, 8)) == []


def test_nothing_is_done_where_there_are_none(heap: Heap) -> None:
    heap.policy.unlink()
    heap.due(line(4, 8))
    assert heap.due(line(4, 8)) == []


def test_memory_that_is_not_there_is_impossible_or_for_later() -> None:
    assert huge_pages.collapse(SIZE) in (Collapse.IMPOSSIBLE, Collapse.LATER)


GROW = """
import re
from gateway.huge_pages import HugePages
def huge():
    return int(re.search(r"AnonHugePages: *([0-9]+)", open("/proc/self/smaps_rollup").read())[1])
objects = [bytes(100) for _ in range(400_000)]
pages = HugePages()
pages.due()
before = huge()
print(len([address for address in pages.due() if pages.collapse(address)]), huge() - before)
assert objects == [bytes(100)] * 400_000
"""


def has_huge_pages() -> bool:
    """Whether this kernel makes them on request."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (6, 1) and HugePages().is_allowed()


@pytest.mark.skipif(not has_huge_pages(), reason="this kernel makes no huge pages on request")
def test_the_kernel_puts_the_heap_together() -> None:
    pages, kibibytes = map(int, subprocess.check_output([sys.executable, "-c", GROW]).split())
    assert pages > 10
    assert kibibytes >= 10 * SIZE // 1024
