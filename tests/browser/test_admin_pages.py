"""The admin pages in Chromium: seen by everybody, kept up to date without flicker, and used by keyboard alone."""

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import (
    ENDLESS,
    IMAGE,
    KEYS,
    POLICIES,
    Browser,
    OpenBrowser,
    check_accessibility,
    check_width,
)
from tests.conftest import House, OpenHouse

PAGES = ("/", "/teams/marketing", "/teams/studio", "/jobs", "/jobs?status=live", "/explain")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
async def test_every_page_can_be_seen_by_everybody(
    busy_house: House, open_browser: OpenBrowser, theme: str, width: int
) -> None:
    browser = await open_browser(busy_house)
    for path in PAGES:
        page = await browser.open(busy_house.running.admin_url + path, theme=theme, width=width)
        await check_accessibility(page)
        await check_width(page)


async def test_the_theme_is_the_systems_until_one_is_chosen(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(busy_house.running.admin_url, theme="dark")

    async def ground() -> str:
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = await ground()
    await page.get_by_role("button", name="Switch to light colours").click()
    light = await ground()
    assert light != dark
    await page.reload()
    assert await ground() == light
    await expect(page.get_by_role("button", name="Switch to dark colours")).to_be_visible()


async def follow(page: Page, selector: str) -> None:
    """Remember this very element, to see later whether it is still the same one."""
    await page.evaluate("selector => { window.kept = document.querySelector(selector); }", selector)


async def is_kept(page: Page) -> bool:
    return bool(await page.evaluate("document.contains(window.kept)"))


async def test_a_page_follows_what_happens_and_leaves_the_rest_alone(
    busy_house: House, open_browser: OpenBrowser
) -> None:
    page = await (await open_browser(busy_house)).open(f"{busy_house.running.admin_url}/teams/marketing")
    await page.locator("#denials").scroll_into_view_if_needed()
    await page.locator("summary", has_text="Every rule consulted").first.click()
    link = page.get_by_role("link", name="All jobs")
    await link.focus()
    await follow(page, "details[open]")
    scrolled = await page.evaluate("scrollY")
    answer = await busy_house.client(KEYS["marketing"]).create(IMAGE)
    job = answer.json()["request_id"]
    await expect(page.locator("#ended-jobs").locator("xpath=ancestor::section")).to_contain_text(job, timeout=20_000)
    assert await is_kept(page)
    await expect(link).to_be_focused()
    assert await page.evaluate("scrollY") == scrolled
    assert await page.locator("details[open]").count() == 1
    await expect(page.locator("#live")).to_have_text("Live")


async def test_a_job_is_explained_by_keyboard_alone(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(busy_house.running.admin_url)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.get_by_role("link", name="Explain", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Team").focus()
    await page.keyboard.type("marketing")
    await page.keyboard.press("Tab")
    await page.keyboard.type("web")
    await page.keyboard.press("Tab")
    await page.keyboard.type(ENDLESS)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Control+a")
    await page.keyboard.type('{"prompt": "a lighthouse"}')
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    decision = page.get_by_role("region", name="The decision")
    await expect(decision).to_contain_text("Refused")
    await expect(decision).to_contain_text("All 3 jobs at once (limit 'films') are running")
    await expect(page.get_by_label("Key")).to_have_value("web")
    assert busy_house.received("create_request") == 5


async def test_the_policies_are_reloaded_from_the_page(busy_house: House, open_browser: OpenBrowser) -> None:
    page = await (await open_browser(busy_house)).open(busy_house.running.admin_url)
    (busy_house.policies / "studio.yaml").write_text("team: studio\nnonsense: 1\n")
    await page.get_by_role("button", name="Reload").click()
    await expect(page.get_by_role("list", name="Notices")).to_contain_text("The policy files have problems")
    await expect(page.locator("#policies").locator("xpath=ancestor::section")).to_contain_text("studio.yaml:2:1")


async def test_a_browser_signs_in_and_out(open_house: OpenHouse, open_browser: OpenBrowser) -> None:
    house: House = await open_house(POLICIES, admin_token="canary-token")
    browser: Browser = await open_browser(house)
    page = await browser.open(house.running.admin_url)
    await check_accessibility(page)
    await expect(page.get_by_label("Admin token")).to_be_focused()
    await page.keyboard.type("canary-wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("This is not the admin token.")
    await expect(page.get_by_label("Admin token")).to_be_focused()
    await page.keyboard.type("canary-token")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Reload").click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Admin token")).to_be_visible()
    refused = "Failed to load resource: the server responded with a status of 401 (Unauthorized)"
    assert set(browser.complaints) == {refused}
    browser.complaints.clear()
