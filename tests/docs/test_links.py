"""Every link leads somewhere, and every page is linked."""

import pytest

from tests.docs.pages import PAGES, ROOT, Page, read_page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_resolves(page: Page) -> None:
    for link in page.links():
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page.name).parent / path if path else ROOT / page.name
        assert target.exists(), link
        if anchor:
            name = target.resolve().relative_to(ROOT).as_posix()
            assert anchor in read_page(name).anchors(), link


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in PAGES[0].links()}
    assert {page.name for page in PAGES[1:]} <= linked
    assert {page.name for page in PAGES[1:]} == {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md")}
