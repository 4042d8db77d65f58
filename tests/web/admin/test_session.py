"""Signing in with a browser, and out again."""

from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from gateway.web.admin.session import COOKIE, LASTS
from tests.conftest import House, OpenHouse, team

TOKEN = "canary-token"
PERSON = {"Accept": "text/html,application/xhtml+xml"}


async def open_guarded(open_house: OpenHouse, **settings: str) -> House:
    house: House = await open_house({"a.yaml": team("marketing", "k")}, **({"admin_token": TOKEN} | settings))
    return house


def origin(house: House) -> dict[str, str]:
    """What a browser sends along with a form of these pages."""
    return {"Origin": house.running.admin_url, "Sec-Fetch-Site": "same-origin"}


async def post(house: House, path: str, headers: dict[str, str] | None = None, **form: str) -> httpx.Response:
    sent = origin(house) if headers is None else headers
    return await house.http.post(house.running.admin_url + path, data=form, headers=sent)


async def sign_in(house: House) -> dict[str, str]:
    """The header that a browser sends from then on."""
    answer = await post(house, "/session", token=TOKEN)
    house.http.cookies.clear()
    return {"Cookie": f"{COOKIE}={SimpleCookie(answer.headers['set-cookie'])[COOKIE].value}"}


async def see(house: House, path: str = "/", **headers: str) -> httpx.Response:
    return await house.http.get(house.running.admin_url + path, headers=PERSON | headers)


async def test_a_browser_is_asked_for_the_token_and_a_program_told_what_to_send(open_house: OpenHouse) -> None:
    house = await open_guarded(open_house)
    for path in ("/", "/jobs", "/teams/marketing", "/explain"):
        answer = await see(house, path)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert 'name="token"' in answer.text
        assert "marketing" not in answer.text
    assert (await house.admin("/")).json()["code"] == "key_missing"
    for name in ("page.css", "page.js", "live.js"):
        assert (await house.admin(f"/files/{name}")).status_code == 200


async def test_the_right_token_opens_a_session_that_scripts_and_other_sites_cannot_use(open_house: OpenHouse) -> None:
    house = await open_guarded(open_house)
    answer = await post(house, "/session", token=f" {TOKEN} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = SimpleCookie(answer.headers["set-cookie"])[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["max-age"]) == (
        True,
        "strict",
        "/",
        str(LASTS),
    )
    assert TOKEN not in cookie.value
    house.http.cookies.clear()
    session = await sign_in(house)
    shown = await see(house, **session)
    assert shown.status_code == 200
    assert "Sign out" in shown.text
    assert (await see(house, "/api/teams", **session)).status_code == 200


@pytest.mark.parametrize("token", ["", "canary", "canary-token2"])
async def test_a_wrong_token_opens_nothing_and_is_not_repeated(open_house: OpenHouse, token: str) -> None:
    house = await open_guarded(open_house)
    answer = await post(house, "/session", token=token)
    assert answer.status_code == 401
    assert "This is not the admin token." in answer.text
    assert "set-cookie" not in answer.headers
    assert "canary" not in answer.text


async def test_another_sites_page_can_neither_sign_in_nor_use_a_session(open_house: OpenHouse) -> None:
    house = await open_guarded(open_house)
    foreign: dict[str, str] = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await post(house, "/session", foreign, token=TOKEN)).json()["code"] == "forbidden"
    session = await sign_in(house)
    before = house.gw.policies.version
    for headers in (foreign | session, session):  # a browser always says who asks
        assert (await post(house, "/reload", headers)).json()["code"] == "forbidden"
    assert house.gw.policies.version == before
    assert (await post(house, "/reload", origin(house) | session)).status_code == 200


@pytest.mark.parametrize("session", ["", "1.x", f"9999999999.{'0' * 64}", "x" * 10_000])
async def test_a_made_up_session_is_none(open_house: OpenHouse, session: str) -> None:
    house = await open_guarded(open_house)
    assert (await see(house, Cookie=f"{COOKIE}={session}")).status_code == 401


async def test_a_session_ends_with_its_time_with_the_token_and_by_signing_out(
    open_house: OpenHouse, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    house = await open_guarded(open_house, admin_token="", admin_token_file=str(file))
    session = await sign_in(house)
    out = await post(house, "/session/end", origin(house) | session)
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert SimpleCookie(out.headers["set-cookie"])[COOKIE]["max-age"] == "0"
    assert (await see(house, **session)).status_code == 200
    file.write_text("another")
    assert (await see(house, **session)).status_code == 401
    file.write_text(TOKEN)
    clock = type(house.gw.now)
    monkeypatch.setattr(clock, "__call__", lambda _: 1e11)
    assert (await see(house, **session)).status_code == 401


async def test_without_a_token_there_is_nothing_to_sign_in_to(open_house: OpenHouse) -> None:
    house = await open_guarded(open_house, admin_token="")
    assert (await post(house, "/session", token="any")).headers["location"] == "/"
    shown = await see(house)
    assert shown.status_code == 200
    assert "Sign out" not in shown.text


async def test_a_form_that_is_none_is_refused(open_house: OpenHouse) -> None:
    house = await open_guarded(open_house)
    url = house.running.admin_url + "/session"
    for body, status in ((b"token=%ff", 400), (b"\xff", 400), (b"a=1&" * 30, 400), (b"x" * 600_000, 413)):
        answer = await house.http.post(url, content=body, headers=origin(house))
        assert answer.status_code == status, body[:20]
