"""Every link within the repository leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Page, pages

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*)$", re.MULTILINE)


def anchors(page: Page) -> set[str]:
    """The names under which a page's headings can be linked to, as code hosts form them."""
    headings = (re.sub(r"[`*]", "", heading).strip().lower() for heading in _HEADING.findall(page.prose))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def problem(page: Page, link: str) -> str | None:
    """What is wrong with a link; None when nothing is."""
    if re.match(r"[a-z]+:", link):
        return None
    path, _, anchor = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not target.is_relative_to(ROOT) or not target.exists():
        return "leads nowhere"
    if anchor and anchor not in anchors(Page(target)):
        return "names no heading"
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Page) -> None:
    problems = {link: problem(page, link) for link in _LINK.findall(page.prose)}
    assert {link: wrong for link, wrong in problems.items() if wrong} == {}


def targets(page: Page) -> set[Path]:
    """The files and folders that a page links to."""
    links = (link.partition("#")[0] for link in _LINK.findall(page.prose) if not re.match(r"[a-z]+:", link))
    return {(page.path.parent / link).resolve() for link in links if link}


def test_every_page_can_be_reached_from_another() -> None:
    reached = {target for page in pages() for target in targets(page) if target != page.path}
    lonely = [page.name for page in pages()[1:] if not {page.path, page.path.parent} & reached]
    assert lonely == []
