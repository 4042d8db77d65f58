"""Which methods do anything: rows ME1 to ME4."""

import pytest

from tests.fake_upstream import Q
from tests.faults.conftest import World, refused
from tests.faults.wire import draft, get, head, post

CHANGING = {"date", "x-request-id", "server-timing", "age"}


@pytest.mark.parametrize(
    "path", [f"{Q}/models", f"{Q}/models/Veo3", f"{Q}/requests", f"{Q}/requests/JOB", "/gateway/v1/usage", "/nope"]
)
async def test_me1_head_is_get_without_the_body(world: World, path: str) -> None:
    job = (await world.a.create()).json()["request_id"]
    world.upstream.jobs[job]["status"] = "success"  # what is known of a live one is good for a second
    target = path.replace("JOB", job)
    await world.keeping(get(target))  # so that both find the caches alike
    before = await world.books()
    with_body = await world.keeping(get(target))
    without = await world.keeping(head("HEAD", target), bodyless=True)
    assert with_body.status == without.status
    assert with_body.headers.keys() == without.headers.keys()
    for name in with_body.headers.keys() - CHANGING:
        assert with_body.headers[name] == without.headers[name]
    assert without.body == b""
    assert int(without.headers["content-length"]) == len(with_body.body) > 0
    assert await world.books() == before


@pytest.mark.parametrize(
    "lines", [[], ["Origin: https://evil.example", "Access-Control-Request-Method: POST"]], ids=["options", "preflight"]
)
async def test_me2_options_is_no_method_here(world: World, lines: list[str]) -> None:
    answer = await world.keeping(head("OPTIONS", f"{Q}/requests", *lines))
    refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    await world.untouched()


async def test_me2_no_site_may_read_what_a_browser_fetched(world: World) -> None:
    answer = await world.keeping(get("/gateway/v1/usage", "Origin: https://evil.example"))
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_me2_a_browser_without_a_key_learns_nothing(world: World) -> None:
    preflight = head("OPTIONS", f"{Q}/requests", "Origin: https://evil.example", key=None)
    refused(await world.closing(preflight), 401, "key_missing")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        *(("OPTIONS", "*"), ("TRACE", f"{Q}/requests"), ("TRACK", f"{Q}/requests"), ("CONNECT", "evil.example:443")),
        *(("CONNECT", "/"), ("get", f"{Q}/models"), ("FOO", f"{Q}/models"), ("M" * 10_000, f"{Q}/models")),
        *(("GET\x00", f"{Q}/models"), ("M-SEARCH", f"{Q}/models"), ("PRI", "*")),
    ],
    ids=lambda value: value[:12],
)
async def test_me3_me4_what_is_no_method_is_no_request(world: World, method: str, target: str) -> None:
    answer = await world.closing(head(method, target, "X-Marker: canary-marker"))
    refused(answer, 400, "invalid_request")
    assert world.upstream.received == []
    await world.untouched()


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (f"{Q}/models", "GET, HEAD"),
        (f"{Q}/models/Veo3", "GET, HEAD"),
        (f"{Q}/requests", "GET, HEAD, POST"),
        (f"{Q}/requests/some-id", "DELETE, GET, HEAD"),
        (f"{Q}/upload-url", "POST"),
        ("/gateway/v1/usage", "GET, HEAD"),
        ("/gateway/v1/explain", "POST"),
    ],
)
async def test_me4_another_method_is_told_the_right_ones(world: World, path: str, allow: str) -> None:
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - set(allow.split(", "))
    for method in sorted(methods):
        answer = await world.keeping(head(method, path, "Content-Length: 2") + b"{}")
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow
        assert method in answer.json["error"]
    await world.untouched()
    assert world.upstream.received == []


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_me4_a_method_stands_in_the_request_line_alone(world: World, name: str) -> None:
    assert (await world.keeping(post(draft(), f"{name}: DELETE"))).status == 200
    await world.created()
    job = next(iter(world.upstream.jobs))
    assert (await world.keeping(get(f"{Q}/requests/{job}", f"{name}: DELETE"))).status == 200
    assert not world.upstream.calls("DELETE", f"{Q}/requests/{job}")


async def test_me4_an_unusual_method_is_counted_as_other(world: World) -> None:
    for method in ("PROPFIND", "MKCOL", "PURGE"):
        refused(await world.keeping(head(method, f"{Q}/models")), 405, "method_not_allowed")
    metrics = (await world.house.admin("/metrics")).text
    assert 'gateway_requests_total{code="405",method="other",route="/models",team="a"} 3.0' in metrics
    assert "PROPFIND" not in metrics
