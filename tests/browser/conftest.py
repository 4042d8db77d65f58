"""A real browser before a running gateway: every page it opens is watched, and may ask that gateway alone."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.conftest import House, OpenHouse, digest

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MEDIUM = ("critical", "serious", "moderate")

IMAGE = "seedream-5.0-lite"
ENDLESS = "vidu-q1"
"""A model whose jobs stay queued for ever."""

FILM = {"prompt": "a lighthouse"}

KEYS = {"marketing": "canary-key-marketing", "studio": "canary-key-studio"}
POLICIES = {
    "marketing.yaml": f"""
team: marketing
description: Launch films
timezone: Europe/Berlin
keys:
  - {{name: web, hash: '{digest(KEYS["marketing"])}', expires: 2099-01-01}}
  - {{name: batch, hash: '{digest("canary-other")}', scopes: [models]}}
models: {{allow: ["Veo3*", "seedream-*", "vidu-*"], deny: [Veo3-Ultra]}}
limits:
  - {{limit: 3 jobs at once, models: [{ENDLESS}], name: films}}
  - {{limit: 20 USD per month, name: money}}
  - {{limit: 50 jobs per day, per: key}}
  - {{limit: 1 uploads per day, mode: shadow}}
""",
    "studio.yaml": f"""
team: studio
keys:
  - {{name: main, hash: '{digest(KEYS["studio"])}'}}
models: {{allow: ["*"]}}
""",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a browser these are skipped, but never in CI."""
    if CHROMIUM is None and os.environ.get("CI") != "true":
        for item in items:
            if "tests/browser/" in item.path.as_posix():
                item.add_marker(pytest.mark.skip(reason="Chromium is not installed"))


@dataclass
class Browser:
    """One browser. `strange` are the requests that went elsewhere than to the gateway, `complaints` what the console
    said.
    """

    house: House
    open_context: Callable[..., Awaitable[BrowserContext]]
    strange: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self, url: str, *, theme: str = "light", width: int = 1440) -> Page:
        """A page of its own, as somebody with this taste and screen sees it."""
        context = await self.open_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        page = await context.new_page()
        page.on("request", self._watch)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(url)
        return page

    def _watch(self, request: Request) -> None:
        here = {urlsplit(url).netloc for url in (self.house.running.public_url, self.house.running.admin_url)}
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc not in here:
            self.strange.append(request.url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


OpenBrowser = Callable[[House], Awaitable[Browser]]


@pytest.fixture
async def open_browser() -> AsyncIterator[OpenBrowser]:
    """`browser = await open_browser(house)`; when the test ends, nothing may have been asked of anybody else."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        opened: list[Browser] = []

        async def open_(house: House) -> Browser:
            opened.append(Browser(house, chromium.new_context))
            return opened[-1]

        yield open_
        await chromium.close()
        assert [url for browser in opened for url in browser.strange] == []
        assert [text for browser in opened for text in browser.complaints] == []


@pytest.fixture
async def busy_house(open_house: OpenHouse) -> House:
    """A gateway with jobs that live, jobs that ended, and refusals of several kinds."""
    house: House = await open_house(POLICIES)
    marketing, studio = house.client(KEYS["marketing"]), house.client(KEYS["studio"])
    creates = [marketing.create(IMAGE), *(marketing.create(ENDLESS, FILM) for _ in range(3)), studio.create()]
    for answer in await asyncio.gather(*creates):
        assert answer.status_code == 200
    await asyncio.gather(marketing.create(ENDLESS, FILM), marketing.create("<b>nasty</b>"), studio.create(payload={}))
    await house.client("nobody").get("/gateway/v1/usage")
    await house.gw.refusals.write()
    return house


async def check_accessibility(page: Page) -> None:
    """Nothing that axe calls worse than minor (WCAG 2.2 AA and good practice)."""
    found = await Axe().run(page)
    worse = [each for each in found.response["violations"] if each["impact"] in MEDIUM]
    assert worse == [], found.generate_report()


async def check_width(page: Page) -> None:
    """The page itself never scrolls sideways; wide tables do within themselves."""
    overflow = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
