import base64

import pytest

from gateway.simulator.models import Shape
from gateway.simulator.outcomes import outcome_of

URLS = ("http://host/video.mp4", "http://host/thumbnail.jpg")


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        (Shape.VIDEO_URL, ["video_url", "thumbnail_image_url"]),
        (Shape.MEDIA_URLS, ["media_urls", "thumbnail_image_url"]),
        (Shape.AUDIO_URL, ["audio_url", "format"]),
        (Shape.CANDIDATES, ["candidates"]),
        (Shape.CHOICES, ["choices", "usage"]),
        (Shape.ERROR_TEXT, ["error"]),
        (Shape.ERROR_OBJECT, ["error"]),
    ],
)
def test_each_form_has_its_recorded_keys(shape: Shape, keys: list[str]) -> None:
    assert list(outcome_of(shape, URLS, 0)) == keys


def test_media_are_named_by_url() -> None:
    assert outcome_of(Shape.VIDEO_URL, URLS, 0)["thumbnail_image_url"] == URLS[1]
    assert outcome_of(Shape.MEDIA_URLS, URLS, 0)["media_urls"] == [{"id": "0", "url": URLS[0]}]
    assert outcome_of(Shape.AUDIO_URL, ("http://host/a.wav",), 0)["format"] == "wav"


def test_candidates_hold_a_whole_image() -> None:
    (candidate,) = outcome_of(Shape.CANDIDATES, (), 9)["candidates"]
    inline = candidate["content"]["parts"][0]["inlineData"]
    assert inline["mimeType"] == "image/png"
    assert base64.b64decode(inline["data"]).startswith(b"\x89PNG")


def test_an_error_is_a_sentence_or_an_object() -> None:
    assert isinstance(outcome_of(Shape.ERROR_TEXT, (), 0)["error"], str)
    assert list(outcome_of(Shape.ERROR_OBJECT, (), 0)["error"]) == ["code", "message", "status"]
