import struct

import pytest

from gateway.simulator.mp4 import build_mp4

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"}


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """The boxes of a file, those within containers too; fails where sizes do not add up."""
    found = []
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        assert 8 <= size <= len(data)
        found.append((kind, data[8:size]))
        if kind in CONTAINERS:
            found += boxes(data[8:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("tint", [0, 127, 255])
def test_the_boxes_nest_and_the_sample_table_points_at_the_sample(tint: int) -> None:
    file = build_mp4(tint)
    content = dict(boxes(file))
    assert next(iter(content)) == b"ftyp"
    (offset,) = struct.unpack(">8xI", content[b"stco"])
    (size,) = struct.unpack(">12xI", content[b"stsz"])
    assert file[offset : offset + size] == content[b"mdat"]


def test_the_sample_is_one_unit_without_a_start_code() -> None:
    for tint in range(256):
        sample = dict(boxes(build_mp4(tint)))[b"mdat"]
        (size,) = struct.unpack(">I", sample[:4])
        assert size == len(sample) - 4
        assert b"\0\0" not in sample[4:]


def test_a_tint_has_its_own_colour() -> None:
    assert build_mp4(1) != build_mp4(2)
