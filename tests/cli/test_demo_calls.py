import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from gateway.cli.demo_calls import BrokenStoryError, Request, Response, send


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked, as text."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        told = [self.command, self.path, self.headers.get("Authorization", ""), self.headers.get("Content-Type", "")]
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write("\n".join(told).encode() + b"\n" + body)

    do_GET = do_PUT = do_POST  # noqa: N815 - the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


def words(curl: str) -> list[str]:
    """The command's arguments, as a shell splits them."""
    command = curl.replace("curl", "printf '%s\\0'", 1)
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_what_is_sent_arrives(server: str) -> None:
    request = Request("POST", f"{server}/a?b=c%20d", "key", b'{"x": 1}', "application/json")
    answer = send(request)
    assert (answer.status, answer.content_type) == (200, "text/plain")
    assert answer.body == b'POST\n/a?b=c%20d\nBearer key\napplication/json\n{"x": 1}'
    assert send(Request("GET", f"{server}/missing")).status == 404


def test_the_printed_curl_says_the_same_to_a_shell() -> None:
    url = "http://127.0.0.1:1/requests?a=1&b=2"
    body = b'{"prompt": "it\'s $HOME"}'
    post = Request("POST", url, "key", body, "application/json")
    headers = ["-H", "Authorization: Bearer key", "-H", "Content-Type: application/json"]
    assert words(post.curl()) == ["-sS", url, *headers, "-d", body.decode()]
    put = Request("PUT", url, body=b"bytes", content_type="image/png", file="/tmp/a photo.png")
    assert words(put.curl()) == ["-sS", url, "-H", "Content-Type: image/png", "-T", "/tmp/a photo.png"]
    get = Request("GET", url, save_as="/tmp/a film.mp4")
    assert words(get.curl()) == ["-sS", url, "-o", "/tmp/a film.mp4"]


def test_no_answer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BrokenStoryError, match=f"no answer from 127.0.0.1:{port}: "):
        send(Request("GET", f"http://127.0.0.1:{port}/"))


def test_a_field_is_found_or_missed_by_its_path() -> None:
    answer = Response(200, "application/json", b'{"a": {"b": 1}, "c": null}')
    assert answer.field("a", "b") == 1
    for path in (("a", "x"), ("c", "b"), ("a", "b", "c")):
        with pytest.raises(BrokenStoryError, match="the answer has no "):
            answer.field(*path)
    with pytest.raises(BrokenStoryError):
        Response(502, "text/html", b"<html>").field("a")


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (Response(200, "", b""), "200"),
        (Response(404, "application/json", b'{"error":"x"}'), '404 {"error":"x"}'),
        (Response(200, "video/mp4", b"\0" * 9), "200 video/mp4, 9 bytes"),
        (Response(200, "text/plain", b"x" * 500), f"200 {'x' * 220} …"),
    ],
)
def test_an_answer_is_shown_in_one_line(answer: Response, shown: str) -> None:
    assert answer.shown() == shown
