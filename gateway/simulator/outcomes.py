"""`outcome` in every form recorded from upstream; clients must cope with each of them."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from gateway.simulator.media import build
from gateway.simulator.models import Shape

Outcome = dict[str, Any]

REFUSED = "The vendor's content check refused the prompt."


def outcome_of(shape: Shape, urls: Sequence[str], tint: int) -> Outcome:
    """The outcome of an ended job whose files are at `urls`; `tint` varies inline media."""
    return _FORMS[shape](urls, tint)


def _video_url(urls: Sequence[str], _tint: int) -> Outcome:
    return {"video_url": urls[0], "thumbnail_image_url": urls[-1]}


def _media_urls(urls: Sequence[str], _tint: int) -> Outcome:
    return {"media_urls": [{"id": "0", "url": urls[0]}], "thumbnail_image_url": urls[-1]}


def _audio_url(urls: Sequence[str], _tint: int) -> Outcome:
    return {"audio_url": urls[0], "format": urls[0].rpartition(".")[2]}


def _candidates(_urls: Sequence[str], tint: int) -> Outcome:
    content_type, data = build("image.png", tint)
    inline = {"mimeType": content_type, "data": base64.b64encode(data).decode()}
    return {"candidates": [{"content": {"parts": [{"inlineData": inline}], "role": "model"}}]}


def _choices(_urls: Sequence[str], _tint: int) -> Outcome:
    message = {"role": "assistant", "content": "A simulated answer."}
    usage = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


def _error_text(_urls: Sequence[str], _tint: int) -> Outcome:
    return {"error": REFUSED}


def _error_object(_urls: Sequence[str], _tint: int) -> Outcome:
    return {"error": {"code": 400, "message": REFUSED, "status": "INVALID_ARGUMENT"}}


_FORMS: dict[Shape, Callable[[Sequence[str], int], Outcome]] = {
    Shape.VIDEO_URL: _video_url,
    Shape.MEDIA_URLS: _media_urls,
    Shape.AUDIO_URL: _audio_url,
    Shape.CANDIDATES: _candidates,
    Shape.CHOICES: _choices,
    Shape.ERROR_TEXT: _error_text,
    Shape.ERROR_OBJECT: _error_object,
}
