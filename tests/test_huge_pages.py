"""Memory in huge pages: which regions are put together, and that the kernel really does so."""

import errno
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import huge_pages
from gateway.huge_pages import SIZE, HugePages, regions_of

MEBIBYTE = 1024**2
ALLOWED = "always [madvise] never\n"


def line(start: int, end: int, access: str = "rw-p", inode: int = 0, name: str = "") -> str:
    """One mapping as the kernel writes it, of so many MiB."""
    device = "00:00" if inode == 0 else "08:01"
    return f"{start * MEBIBYTE:x}-{end * MEBIBYTE:x} {access} 00000000 {device} {inode} {name}".rstrip() + "\n"


def regions(*lines: str) -> list[int]:
    """In MiB."""
    return [address // MEBIBYTE for address in regions_of("".join(lines).encode())]


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


def test_memory_that_is_named_is_the_heap_as_well() -> None:
    assert regions(line(4, 6, name="[anon: glibc: malloc]")) == [4]


def test_no_name_of_a_file_is_in_the_way() -> None:
    odd = line(2, 4, access="r--p", inode=7, name="/a\u2028b\x0bc").encode() + b"8-9 r--p 0 08:01 7 /\xff\n"
    assert list(regions_of(odd + line(4, 6).encode())) == [4 * MEBIBYTE]


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


def outcome_of(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whatever is collapsed comes to this."""
    monkeypatch.setattr(huge_pages, "collapse", lambda _: number)


def test_what_has_lasted_is_put_together_once(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, 0)
    assert heap.due(line(4, 6)) == []
    assert heap.due(line(4, 8)) == [4]
    assert heap.pages.collapse(4 * MEBIBYTE)
    assert heap.due(line(4, 8)) == [6], "what came since has lasted now"
    assert heap.pages.collapse(6 * MEBIBYTE)
    assert heap.due(line(4, 8)) == []


def test_what_was_given_back_and_taken_anew_counts_as_new(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome_of(monkeypatch, 0)
    heap.due(line(4, 6))
    for address in heap.pages.due():
        heap.pages.collapse(address)
    assert heap.due() == []
    assert heap.due(line(4, 6)) == []
    assert heap.due(line(4, 6)) == [4]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EAGAIN, errno.ENOSYS])
def test_a_region_that_cannot_be_is_tried_again_some_minutes_later(
    heap: Heap, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    outcome_of(monkeypatch, number)
    looks = [heap.due(line(4, 8))]
    for _ in range(60):
        looks.append(heap.due(line(4, 8)))
        assert all(map(heap.pages.collapse, heap.pages.due())), "the next one may be possible"
    assert 1 < looks.count([4, 6]) < 6


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EBUSY])
def test_while_there_is_no_huge_page_to_be_had_none_is_asked_for(
    heap: Heap, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    outcome_of(monkeypatch, number)
    heap.due(line(4, 8))
    assert heap.due(line(4, 8)) == [4, 6]
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


def test_nothing_is_done_where_nobody_says_what_is_mapped(heap: Heap) -> None:
    assert heap.pages.due() == []


def test_memory_that_is_not_there_is_refused_and_no_fault() -> None:
    assert huge_pages.collapse(SIZE) != 0


GROW = """
import re
from gateway.huge_pages import HugePages
objects = [bytes(100) for _ in range(400_000)]
pages = HugePages()
pages.due()
for address in pages.due():
    pages.collapse(address)
print(re.search(r"AnonHugePages: *([0-9]+)", open("/proc/self/smaps_rollup").read())[1])
assert objects == [bytes(100)] * 400_000
"""


def has_huge_pages() -> bool:
    """Whether this kernel makes them on request."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return version is not None and (int(version[1]), int(version[2])) >= (6, 1) and HugePages().are_allowed()


@pytest.mark.skipif(not has_huge_pages(), reason="this kernel makes no huge pages on request")
def test_the_kernel_puts_the_heap_together() -> None:
    kibibytes = int(subprocess.check_output([sys.executable, "-c", GROW]))
    assert kibibytes >= 10 * SIZE // 1024
