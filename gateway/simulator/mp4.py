"""The smallest video that really plays: one H.264 picture, held for one second, in an MP4 file.

The picture's macroblocks are stored uncompressed (I_PCM, H.264 section 7.3.5), so no encoder is needed.
"""

import struct

WIDTH, HEIGHT = 128, 96

# Baseline profile, level 1, 8 x 6 macroblocks (H.264 sections 7.3.2.1 and 7.3.2.2).
SEQUENCE_SET = bytes.fromhex("6742000af841a2")
PICTURE_SET = bytes.fromhex("68ce3880")
# An IDR slice's header up to and including the first macroblock's type and alignment, then the others'.
SLICE_HEADER = bytes.fromhex("6588840868")
MACROBLOCK_HEADER = bytes.fromhex("0d00")
SLICE_END = b"\x80"

IDENTITY = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
TIMESCALE = 1000
DURATION = 1000


def build_mp4(tint: int) -> bytes:
    """A one-second video in a colour of its own for each `tint` from 0 to 255."""
    sample = _picture(tint)
    ftyp = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    return ftyp + _box(b"mdat", sample) + _movie(len(sample), sample_offset=len(ftyp) + 8)


def _picture(tint: int) -> bytes:
    # A picture's bytes stay above 15, so no start code can appear in them by accident.
    count = (WIDTH // 16) * (HEIGHT // 16)
    blocks = [bytes([64 + 2 * n]) * 256 + bytes([16 + tint * 7 % 224, 240 - tint * 5 % 224]) * 64 for n in range(count)]
    unit = SLICE_HEADER + MACROBLOCK_HEADER.join(blocks) + SLICE_END
    return struct.pack(">I", len(unit)) + unit


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full_box(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def _movie(sample_size: int, sample_offset: int) -> bytes:
    header = struct.pack(">4I", 0, 0, TIMESCALE, DURATION) + struct.pack(">IH10x", 0x10000, 0x100)
    mvhd = _full_box(b"mvhd", 0, header, IDENTITY, bytes(24), struct.pack(">I", 2))
    tkhd = _full_box(
        b"tkhd",
        3,
        struct.pack(">5I16x", 0, 0, 1, 0, DURATION),
        IDENTITY,
        struct.pack(">2I", WIDTH << 16, HEIGHT << 16),
    )
    mdhd = _full_box(b"mdhd", 0, struct.pack(">4I2H", 0, 0, TIMESCALE, DURATION, 0x55C4, 0))
    hdlr = _full_box(b"hdlr", 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0")
    dref = _full_box(b"dref", 0, struct.pack(">I", 1), _full_box(b"url ", 1))
    minf = _box(
        b"minf",
        _full_box(b"vmhd", 1, bytes(8)),
        _box(b"dinf", dref),
        _sample_table(sample_size, sample_offset),
    )
    return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))


def _sample_table(sample_size: int, sample_offset: int) -> bytes:
    configuration = _box(
        b"avcC",
        b"\x01" + SEQUENCE_SET[1:4] + b"\xff",
        b"\xe1" + struct.pack(">H", len(SEQUENCE_SET)) + SEQUENCE_SET,
        b"\x01" + struct.pack(">H", len(PICTURE_SET)) + PICTURE_SET,
    )
    entry = _box(
        b"avc1",
        struct.pack(">6xH16x2H2I4xH32x2H", 1, WIDTH, HEIGHT, 72 << 16, 72 << 16, 1, 24, 0xFFFF),
        configuration,
    )
    return _box(
        b"stbl",
        _full_box(b"stsd", 0, struct.pack(">I", 1), entry),
        _full_box(b"stts", 0, struct.pack(">3I", 1, 1, DURATION)),
        _full_box(b"stsc", 0, struct.pack(">4I", 1, 1, 1, 1)),
        _full_box(b"stsz", 0, struct.pack(">3I", 0, 1, sample_size)),
        _full_box(b"stco", 0, struct.pack(">2I", 1, sample_offset)),
    )
