"""The team page in Chromium: what a developer with a key sees, and what of the key stays where."""

import asyncio
import os
import re
import shutil

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import IMAGE, KEYS, POLICIES, OpenBrowser, check_accessibility, check_width
from tests.conftest import House, OpenHouse

UNAUTHORIZED = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"


async def sign_in(page: Page, key: str = KEYS["marketing"]) -> None:
    await page.get_by_label("Team key").fill(key)
    await page.get_by_role("button", name="Show").click()


def place(house: House) -> str:
    return f"{house.running.public_url}/gateway/"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_the_page_can_be_seen_by_everybody(
    busy_house: House, open_browser: OpenBrowser, theme: str, width: int
) -> None:
    page = await (await open_browser(busy_house)).open(place(busy_house), theme=theme, width=width)
    await check_accessibility(page)
    await sign_in(page)
    await page.locator("#model-list summary", has_text="Veo3").first.click()
    await expect(page.get_by_role("group", name="Parameters")).to_be_visible()
    await check_accessibility(page)
    await check_width(page)


async def test_a_key_shows_limits_jobs_and_models_of_its_team(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(place(busy_house))
    await sign_in(page)
    await expect(page.get_by_role("heading", name="marketing")).to_be_visible()
    await expect(page.locator("#gauges")).to_contain_text("3 of 3 jobs at once")
    await expect(page.locator("#month-usd")).to_have_text("0.64")
    await expect(page.locator("#live-jobs")).to_have_text("3")
    await expect(page.locator("#job-rows tr")).to_have_count(4)
    await expect(page.locator("#job-rows a").first).to_have_attribute("rel", "noopener noreferrer")
    models = page.locator("#model-list li")
    await expect(models.filter(has_text="Veo3-Ultra")).to_have_count(0)
    await page.get_by_label("Find").fill("seedream")
    await expect(page.locator("#model-list li:visible")).to_have_count(1)
    await page.get_by_label("Find").fill("nothing like it")
    await expect(page.get_by_text("No model is called so.")).to_be_visible()


async def test_a_price_and_the_parameters_are_gmis_own(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(place(busy_house))
    await sign_in(page)
    await page.locator("#model-list summary").get_by_text("Veo3", exact=True).click()
    await expect(page.locator("#model-list details[open]")).to_contain_text("0.40 USD per second")
    await expect(page.get_by_role("row", name="durationSeconds")).to_contain_text("4, 6, 8")


async def test_the_key_stays_in_the_tab_and_is_forgotten_when_told(
    busy_house: House, open_browser: OpenBrowser
) -> None:
    page = await (await open_browser(busy_house)).open(place(busy_house))
    await sign_in(page)
    await expect(page.get_by_role("heading", name="marketing")).to_be_visible()
    assert await page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    assert KEYS["marketing"] not in page.url
    await page.reload()
    await expect(page.get_by_role("heading", name="marketing")).to_be_visible()
    other = await page.context.new_page()
    await other.goto(place(busy_house))
    await expect(other.get_by_label("Team key")).to_be_visible()
    await page.get_by_role("button", name="Forget the key").click()
    await expect(page.get_by_label("Team key")).to_be_focused()
    assert await page.evaluate("sessionStorage.length") == 0
    assert KEYS["marketing"] not in await page.content()
    assert "marketing" not in await page.inner_text("body")


async def test_a_wrong_key_is_told_in_the_gateways_words(busy_house: House, open_browser: OpenBrowser) -> None:
    browser = await open_browser(busy_house)
    page = await browser.open(place(busy_house))
    await sign_in(page, "nobodys-key")
    await expect(page.get_by_role("alert")).to_contain_text("This key is not a team key of this gateway")
    await sign_in(page, "two words")
    await expect(page.get_by_role("alert")).to_contain_text("neither spaces")
    assert set(browser.complaints) == {UNAUTHORIZED}
    browser.complaints.clear()


async def test_an_answer_that_is_not_the_gateways_is_told(busy_house: House, open_browser: OpenBrowser) -> None:
    browser = await open_browser(busy_house)
    page = await browser.open(place(busy_house))
    away = "<html>no gateway here</html>"
    await page.route(
        "**/gateway/v1/usage", lambda route: route.fulfill(status=502, body=away, content_type="text/html")
    )
    await sign_in(page)
    await expect(page.get_by_role("alert")).to_contain_text("The answer is 502")
    await page.unroute("**/gateway/v1/usage")
    await sign_in(page)
    await expect(page.get_by_role("heading", name="marketing")).to_be_visible()
    await page.route("**/gateway/v1/usage", lambda route: route.abort())
    await expect(page.locator("#trouble")).to_have_text("The gateway does not answer.", timeout=25_000)
    browser.complaints.clear()  # the browser tells of each


async def test_a_key_that_may_read_models_alone_sees_those(busy_house: House, open_browser: OpenBrowser) -> None:
    browser = await open_browser(busy_house)
    page = await browser.open(place(busy_house))
    await sign_in(page, "canary-other")
    await expect(page.locator("#model-list li")).not_to_have_count(0)
    await expect(page.locator("#gauges")).to_contain_text("jobs at once")
    await expect(page.locator("#no-jobs")).to_be_visible()
    browser.complaints.clear()  # the browser tells of the 403


async def test_a_finished_jobs_picture_is_shown_where_the_teams_files_may_pass(
    open_house: OpenHouse, open_browser: OpenBrowser
) -> None:
    relaying = POLICIES | {"marketing.yaml": POLICIES["marketing.yaml"] + "uploads: {relay: true}\n"}
    house: House = await open_house(relaying, public_url="https://gateway.example")
    done = (await house.client(KEYS["marketing"]).create(IMAGE)).json()
    browser = await open_browser(house)
    page = await browser.open(place(house))
    await sign_in(page)
    picture = page.get_by_role("img", name=f"What {done['request_id']} made")
    await expect(picture).to_have_attribute("src", re.compile("^blob:"))
    await expect(picture).to_have_js_property("complete", True)
    assert await picture.evaluate("image => image.naturalWidth") > 0
    await check_accessibility(page)
    await check_width(page)
    await page.get_by_role("button", name="Forget the key").click()
    await expect(picture).to_have_count(0)
    await sign_in(page, KEYS["studio"])
    await expect(page.get_by_role("heading", name="studio")).to_be_visible()


async def test_the_page_follows_its_jobs(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(place(busy_house))
    await sign_in(page)
    await expect(page.locator("#job-rows tr")).to_have_count(4)
    await busy_house.client(KEYS["marketing"]).create(IMAGE)
    await expect(page.locator("#job-rows tr")).to_have_count(5, timeout=25_000)
    await expect(page.locator("#fresh")).to_have_text("Live")


async def test_the_calls_are_ready_to_run(open_house: OpenHouse, open_browser: OpenBrowser) -> None:
    house: House = await open_house(POLICIES, speed=10_000)
    page = await (await open_browser(house)).open(place(house))
    snippets = {}
    for name in ("curl", "Python", "JavaScript"):
        await page.get_by_role("tab", name=name).click()
        snippets[name] = await page.locator("#code").inner_text()
        assert f"{house.running.public_url}/api/v1/ie/requestqueue/apikey" in snippets[name]
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="curl")).to_be_focused()
    programs = {"curl": ("bash", "-c"), "JavaScript": ("node", "--input-type=module", "-e")}
    for name, program in programs.items():
        if shutil.which(program[0]) is None and os.environ.get("CI") != "true":
            continue
        ran = await asyncio.create_subprocess_exec(
            *program,
            snippets[name],
            env=os.environ | {"GATEWAY_KEY": KEYS["marketing"], "NO_PROXY": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await ran.communicate()
        assert (ran.returncode, b"video_url" in printed) == (0, True), (name, printed)
    assert house.received("create_request") == 2


async def test_the_calls_name_the_public_url_where_one_is_set(open_house: OpenHouse, open_browser: OpenBrowser) -> None:
    house: House = await open_house(POLICIES, public_url="https://gateway.example")
    page = await (await open_browser(house)).open(place(house))
    await expect(page.locator("#code")).to_contain_text("Q=https://gateway.example/api/v1/ie/requestqueue/apikey")
