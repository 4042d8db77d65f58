"""What every page tells the browser, and that nobody waits while it is made."""

import asyncio

import pytest

from gateway.web.admin.page import page

VALUES = {"title": "No such team", "message": "It may have been removed.", "signed_in": False}


async def test_a_page_is_kept_by_nobody_and_shows_nothing_from_elsewhere() -> None:
    answer = await page("notice.html", VALUES, 404)
    assert answer.status_code == 404
    assert "It may have been removed." in bytes(answer.body).decode()
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


async def test_other_calls_go_on_while_a_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, begun, may_end = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def render(_template: str, _values: object) -> bytes:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result(30)
        return b"made"

    monkeypatch.setattr("gateway.web.admin.rendering.render", render)
    making = asyncio.ensure_future(page("notice.html", VALUES))
    await begun.wait()
    assert not making.done()
    may_end.set()
    assert (await making).body == b"made"
