"""Real, tiny media files from the standard library alone: what a finished job leaves behind."""

import base64
import io
import math
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath

from gateway.simulator.mp4 import build_mp4

IMAGE_SIDE = 64
SAMPLE_RATE = 8000

# MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono; empty side information decodes to silence.
MP3_FRAME = bytes.fromhex("fffb90c4") + bytes(413)
MP3_FRAMES_PER_SECOND = 38

# A grey 16 x 16 square, written out because the standard library has no JPEG encoder.
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWG"
    "kJ6jq62rZ4C8ybqmx5moq6T/wAALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAT/xAAUEAEAAAAAAAAAAAAAAAAA"
    "AAAA/9oACAEBAAA/AKQH/9k="
)


def build(name: str, tint: int) -> tuple[str, bytes]:
    """Content type and bytes of a file, chosen by the name's ending; `tint` (0 to 255) varies it."""
    content_type, make = _BUILDERS[PurePosixPath(name).suffix]
    return content_type, make(tint)


def build_png(tint: int) -> bytes:
    """A gradient of 64 x 64 pixels (PNG, ISO/IEC 15948: 8-bit RGB, no interlace)."""
    header = struct.pack(">2I5B", IMAGE_SIDE, IMAGE_SIDE, 8, 2, 0, 0, 0)
    rows = (
        b"\0" + b"".join(bytes((tint, 4 * row, 4 * column)) for column in range(IMAGE_SIDE))
        for row in range(IMAGE_SIDE)
    )
    data = zlib.compress(b"".join(rows))
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def build_wav(tint: int) -> bytes:
    """One second of a tone between 220 and 730 Hz (16-bit mono PCM)."""
    turn = 2 * math.pi * (220 + 2 * tint) / SAMPLE_RATE
    samples = [round(8000 * math.sin(turn * position)) for position in range(SAMPLE_RATE)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(struct.pack(f"<{SAMPLE_RATE}h", *samples))
    return file.getvalue()


def build_mp3(_tint: int) -> bytes:
    """One second of silence."""
    return MP3_FRAME * MP3_FRAMES_PER_SECOND


def build_jpeg(_tint: int) -> bytes:
    """A grey square."""
    return JPEG


_BUILDERS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    ".mp4": ("video/mp4", build_mp4),
    ".jpg": ("image/jpeg", build_jpeg),
    ".png": ("image/png", build_png),
    ".wav": ("audio/wav", build_wav),
    ".mp3": ("audio/mpeg", build_mp3),
}
