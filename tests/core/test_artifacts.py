"""Files are found in every shape of an outcome, under names that are safe and stay the same."""

from typing import Any

import pytest

from gateway.core.artifacts import ANY_TYPE, MOST_ARTIFACTS, Artifact, find_artifacts, safe_type

HOST = "https://storage.googleapis.com/b"


def names(outcome: Any) -> list[tuple[str, str]]:
    return [(each.name, each.type) for each in find_artifacts(outcome)]


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (
            {"video_url": f"{HOST}/o.mp4?a=b.png", "thumbnail_image_url": f"{HOST}/t.JPG#x"},
            [("video.mp4", "video/mp4"), ("thumbnail_image.jpg", "image/jpeg")],
        ),
        (
            {"media_urls": [{"id": "0", "url": f"{HOST}/a.png"}, {"id": "1", "url": f"{HOST}/b.webp"}]},
            [("media-0.png", "image/png"), ("media-1.webp", "image/webp")],
        ),
        ({"image_urls": [f"{HOST}/a.jpeg", "no URL", 7]}, [("image-0.jpeg", "image/jpeg")]),
        ({"audio_url": f"{HOST}/a", "format": "MP3"}, [("audio.mp3", "audio/mpeg")]),
        ({"audio_url": f"{HOST}/a", "format": 3}, [("audio.bin", ANY_TYPE)]),
        ({"url": f"{HOST}/a.svg"}, [("file.bin", ANY_TYPE)]),
        (
            {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}}]}}]},
            [("candidates-0-content-parts-0.jpg", "image/jpeg")],
        ),
        ({"inline_data": {"mime_type": "text/html", "data": "AA=="}}, [("file.bin", ANY_TYPE)]),
        (
            {"choices": [{"message": {"content": "https://x.example/a.png", "image_url": {"url": f"{HOST}/c.png"}}}]},
            [("choices-0-message-image.png", "image/png")],
        ),
        ({"video_url": "", "thumbnail_image_url": None, "source_url": "ftp://a/b.png"}, []),
        ({"Vídeo/../x_url": f"{HOST}/a.mp4"}, [("v_deo_x.mp4", "video/mp4")]),
        ({"choices": [{"message": {"content": "text"}}], "usage": {"tokens": 3}}, []),
        ({"error": {"code": 400, "data": "x"}}, []),
        ({"inlineData": {"mimeType": "image/png", "data": ""}}, []),
        ([f"{HOST}/a.png"], []),
        (None, []),
        ("https://x.example/a.png", []),
    ],
)
def test_every_shape(outcome: Any, found: list[tuple[str, str]]) -> None:
    assert names(outcome) == found


def test_where_a_file_is() -> None:
    outcome = {"video_url": f"{HOST}/o.mp4", "x": {"mimeType": "image/png", "data": "QUJD"}}
    assert find_artifacts(outcome) == (
        Artifact("video.mp4", "video/mp4", url=f"{HOST}/o.mp4"),
        Artifact("x.png", "image/png", data="QUJD"),
    )
    assert HOST not in repr(find_artifacts(outcome))


def test_no_two_files_have_one_name() -> None:
    outcome = {"a_url": f"{HOST}/1.png", "A_URL": f"{HOST}/2.png", "a_urls": f"{HOST}/3.png"}
    assert [name for name, _ in names(outcome)] == ["a.png", "a-2.png", "a-3.png"]


def test_what_is_without_end_is_not_followed() -> None:
    many = {"image_urls": [f"{HOST}/a.png"] * 1000}
    assert len(names(many)) == MOST_ARTIFACTS
    deep: Any = {"url": f"{HOST}/a.png"}
    for _ in range(15):
        deep = {"x": deep}
    assert len(names(deep)) == 1
    assert names({"x": {"x": deep}}) == []
    (long,) = find_artifacts({f"{'x' * 500}_url": f"{HOST}/a.png"})
    assert long.name == f"{'x' * 80}.png"


@pytest.mark.parametrize(
    ("said", "served"),
    [
        ("video/mp4", "video/mp4"),
        ("Image/PNG; charset=x", "image/png"),
        ("text/html", ANY_TYPE),
        ("image/svg+xml", ANY_TYPE),
        ("", ANY_TYPE),
    ],
)
def test_only_what_nothing_runs_is_served_as_it_is(said: str, served: str) -> None:
    assert safe_type(said) == served
