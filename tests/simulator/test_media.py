import io
import struct
import wave
import zlib

import pytest

from gateway.simulator.media import build

TYPES = {
    "video.mp4": "video/mp4",
    "thumbnail.jpg": "image/jpeg",
    "image.png": "image/png",
    "speech.wav": "audio/wav",
    "music.mp3": "audio/mpeg",
}


@pytest.mark.parametrize(("name", "content_type"), TYPES.items())
def test_the_type_follows_the_name_and_the_file_is_repeatable(name: str, content_type: str) -> None:
    assert build(name, 7)[0] == content_type
    assert build(name, 7) == build(name, 7)


@pytest.mark.parametrize("tint", [0, 255])
def test_a_png_has_sound_chunks_and_all_its_pixels(tint: int) -> None:
    _, file = build("image.png", tint)
    assert file.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, rest = {}, file[8:]
    while rest:
        (size,) = struct.unpack(">I", rest[:4])
        kind, data = rest[4:8], rest[8 : 8 + size]
        assert struct.unpack(">I", rest[8 + size : 12 + size]) == (zlib.crc32(kind + data),)
        chunks[kind], rest = data, rest[12 + size :]
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">2I", chunks[b"IHDR"][:8]) == (64, 64)
    assert len(zlib.decompress(chunks[b"IDAT"])) == 64 * (1 + 3 * 64)


def test_a_wav_holds_one_second_of_sound() -> None:
    with wave.open(io.BytesIO(build("tone.wav", 255)[1])) as sound:
        assert sound.getnframes() == sound.getframerate()
        assert len(set(sound.readframes(100))) > 10


def test_an_mp3_is_a_run_of_whole_frames() -> None:
    _, file = build("music.mp3", 0)
    # 144 * bit rate / sample rate bytes a frame (ISO/IEC 11172-3).
    size = 144 * 128_000 // 44_100
    assert len(file) % size == 0
    assert all(file[start : start + 2] == b"\xff\xfb" for start in range(0, len(file), size))


def test_a_jpeg_starts_and_ends_as_one() -> None:
    _, file = build("thumbnail.jpg", 0)
    assert (file[:2], file[-2:]) == (b"\xff\xd8", b"\xff\xd9")
