import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.demo_calls import BrokenStoryError, Request, Response
from gateway.cli.demo_story import Story

KEYS = {"marketing": "key-m", "research": "key-r"}


class Down(http.server.BaseHTTPRequestHandler):
    """A gateway that answers everything with 503."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"error":"down","code":"overloaded"}')

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def down() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Down) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


async def test_a_story_that_goes_wrong_says_where_and_ends(
    down: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await Story(down, KEYS, tmp_path).tell() is False
    told = capsys.readouterr().out
    assert '503 {"error":"down","code":"overloaded"}' in told
    assert told.endswith("   ✗ the answer has no model_ids: the story ends here\n")


async def test_a_job_that_never_ends_ends_the_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queued = Response(200, "application/json", b'{"status":"queued"}')
    monkeypatch.setattr("gateway.cli.demo_story.send", lambda _: queued)
    monkeypatch.setattr("gateway.cli.demo_story.POLL_EVERY", 0.0)
    with pytest.raises(BrokenStoryError, match="the job is still queued after 60 polls"):
        await Story("http://127.0.0.1:1", KEYS, tmp_path)._poll(Request("GET", "http://127.0.0.1:1/requests/1"))


async def test_without_a_gateway_there_is_no_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await Story("http://127.0.0.1:1", KEYS, tmp_path).tell() is False
    assert "✗ no answer from 127.0.0.1:1: " in capsys.readouterr().out
