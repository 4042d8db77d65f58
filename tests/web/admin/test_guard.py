"""Who may see the admin pages."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.settings import Settings, read_settings
from gateway.web.admin.guard import OPEN, Guard
from gateway.web.admin.session import COOKIE
from gateway.web.admin.token import AdminToken

LOOPBACK = "127.0.0.1"


async def page(request: Request) -> Response:
    return PlainTextResponse(request.state.request_id)


def app(settings: Settings) -> Starlette:
    return Starlette(
        routes=[Route(path, page, methods=["GET", "POST"]) for path in ("/page", *sorted(OPEN))],
        middleware=[Middleware(Guard, settings, lambda: NOW)],
    )


async def ask(
    settings: Settings,
    path: str = "/page",
    method: str = "GET",
    peer: str = LOOPBACK,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
) -> httpx.Response:
    """One call from `peer`, with the Host that a person on this machine would use."""
    transport = httpx.ASGITransport(app(settings), client=(peer, 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9090") as client:
        return await client.request(method, path, headers=headers)


NOW = 1_763_900_000.0
NO_TOKEN = Settings()
TOKEN = read_settings({"GATEWAY_ADMIN_TOKEN": "canary-token"}, {})


def is_refused(answer: httpx.Response, status: int, code: str) -> bool:
    body = answer.json()
    return (
        answer.status_code == status
        and body["code"] == code
        and body["request_id"] == answer.headers["x-request-id"]
        and answer.headers["cache-control"] == "no-store"
    )


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_without_a_token_this_machine_is_admitted(peer: str) -> None:
    assert (await ask(NO_TOKEN, peer=peer)).status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.7", "203.0.113.9", "::ffff:10.0.0.7", "fd00::1", "", "unix:"])
async def test_without_a_token_everybody_else_is_not(peer: str) -> None:
    assert is_refused(await ask(NO_TOKEN, peer=peer), 403, "forbidden")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9090", "127.0.0.1:9090", "[::1]:9090", "[::1]"])
async def test_a_loopback_name_is_a_good_host(host: str) -> None:
    assert (await ask(NO_TOKEN, headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.nip.io", "2130706433", ""]
)
async def test_a_rebound_name_is_refused(host: str) -> None:
    assert is_refused(await ask(NO_TOKEN, headers={"Host": host}), 403, "forbidden")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_what_a_proxy_on_this_machine_passes_on_is_refused(header: str) -> None:
    assert is_refused(await ask(NO_TOKEN, headers={header: "127.0.0.1"}), 403, "forbidden")


@pytest.mark.parametrize("peer", [LOOPBACK, "203.0.113.9"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_admits_from_anywhere_under_any_name(peer: str, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} canary-token", "Host": "gateway.example"}
    assert (await ask(TOKEN, peer=peer, headers=headers)).status_code == 200


async def test_with_a_token_set_this_machine_needs_it_too() -> None:
    answer = await ask(TOKEN)
    assert is_refused(answer, 401, "key_missing")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "value", ["Bearer canary-toke", "Bearer", "Bearer ", "Basic canary-token", "canary-token", "Bearer x canary-token"]
)
async def test_another_token_is_refused_and_not_repeated(value: str) -> None:
    answer = await ask(TOKEN, headers={"Authorization": value})
    assert is_refused(answer, 401, "key_invalid")
    assert "canary" not in answer.text


async def test_two_tokens_are_refused() -> None:
    right = ("Authorization", "Bearer canary-token")
    assert is_refused(await ask(TOKEN, headers=[right, right]), 401, "key_invalid")


@pytest.mark.parametrize("path", sorted(OPEN))
@pytest.mark.parametrize("settings", [NO_TOKEN, TOKEN], ids=["no-token", "token"])
async def test_probes_and_prometheus_need_nothing(path: str, settings: Settings) -> None:
    assert (await ask(settings, path, peer="203.0.113.9", headers={"Host": "pod:9090"})).status_code == 200


@pytest.mark.parametrize("path", ["/metrics/", "/healthz/..", "//healthz", "/readyzz", "/nothing"])
async def test_what_is_not_exactly_an_open_page_is_guarded(path: str) -> None:
    assert is_refused(await ask(TOKEN, path, peer="203.0.113.9"), 401, "key_missing")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://[", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
async def test_another_sites_page_cannot_change_anything(headers: dict[str, str]) -> None:
    assert is_refused(await ask(NO_TOKEN, method="POST", headers=headers), 403, "forbidden")
    with_token = {**headers, "Authorization": "Bearer canary-token"}
    assert is_refused(await ask(TOKEN, method="POST", headers=with_token), 403, "forbidden")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://LOCALHOST:9090"}, {"Sec-Fetch-Site": "none"}],
    ids=str,
)
async def test_the_pages_own_scripts_and_curl_can(headers: dict[str, str]) -> None:
    assert (await ask(NO_TOKEN, method="POST", headers=headers)).status_code == 200


async def test_a_link_from_another_site_may_be_followed() -> None:
    assert (await ask(NO_TOKEN, headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


async def test_a_call_keeps_its_own_id_and_gets_one_otherwise() -> None:
    answer = await ask(NO_TOKEN, headers={"X-Request-ID": "mine-1"})
    assert (answer.text, answer.headers["x-request-id"]) == ("mine-1", "mine-1")
    answer = await ask(NO_TOKEN, headers={"X-Request-ID": "not mine"})
    assert answer.text == answer.headers["x-request-id"] != "not mine"
    assert len(answer.text) == 32


async def test_browsers_are_told_not_to_guess_types() -> None:
    assert (await ask(NO_TOKEN)).headers["x-content-type-options"] == "nosniff"
    assert (await ask(TOKEN)).headers["x-content-type-options"] == "nosniff"


async def test_a_person_who_may_not_come_in_gets_a_page_and_a_program_an_answer() -> None:
    browser = {"Accept": "text/html,*/*;q=0.8"}
    answer = await ask(NO_TOKEN, peer="203.0.113.9", headers=browser)
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "set GATEWAY_ADMIN_TOKEN" in answer.text
    assert "Admin token" in (await ask(TOKEN, headers=browser)).text
    assert is_refused(await ask(TOKEN, method="POST", headers=browser), 401, "key_missing")


@pytest.mark.parametrize("settings", [NO_TOKEN, TOKEN], ids=["no-token", "token"])
async def test_the_style_of_the_pages_is_open(settings: Settings) -> None:
    answer = await ask(settings, "/files/page.css", peer="203.0.113.9", headers={"Host": "pod:9090"})
    assert answer.status_code == 404  # of the app behind: nobody was in the way


async def test_a_session_is_as_good_as_the_token_but_only_for_these_pages() -> None:
    session = {"Cookie": f"a=b; {COOKIE}={AdminToken(TOKEN).sign(int(NOW) + 10)}"}
    assert (await ask(TOKEN, headers=session)).status_code == 200
    assert is_refused(await ask(TOKEN, method="POST", headers=session), 403, "forbidden")
    own = session | {"Origin": "http://localhost:9090"}
    assert (await ask(TOKEN, method="POST", headers=own)).status_code == 200
    ended = {"Cookie": f"{COOKIE}={AdminToken(TOKEN).sign(int(NOW))}"}
    assert is_refused(await ask(TOKEN, headers=ended), 401, "key_missing")
    wrong = session | {"Authorization": "Bearer wrong"}
    assert is_refused(await ask(TOKEN, headers=wrong), 401, "key_invalid")
