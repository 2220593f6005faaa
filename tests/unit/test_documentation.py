"""The documentation reads on GitHub as in the site: its pages are found, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
import yaml

from medseg_ext.datasets.pairing import WORDS_OF_LABELS

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("bundles/*/docs/*.md")),
    ROOT / "medseg_ext" / "deploy" / "README.md",
]


def text_of(page):
    """Give a page without its code, in which `[a](b)` is no link and `# a` no heading."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors_of(page):
    """Give the anchors of a page's headings, as GitHub makes them; MkDocs makes the same of these."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_in(navigation):
    """Give the pages that a part of the navigation names."""
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [path for part in parts for path in paths_in(part)]


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_are_there(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if ":" in link:
            continue  # another host
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page}: {link} is not there"
        assert not anchor or anchor in anchors_of(target), f"{page}: {link} has no such heading"


def test_every_page_stands_in_the_navigation():
    named = paths_in(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    cards = {page for page in PAGES if page.is_relative_to(ROOT / "bundles")}  # tools/docs_site.py adds them
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES if page not in cards}
    assert sorted(named) == sorted(pages), "mkdocs.yml and docs/ differ"


def test_the_words_of_labels_are_those_that_are_read():
    words = re.search(r"### Words of labels\n\n(.*)\n", (ROOT / "docs" / "file_formats.md").read_text())[1]
    assert tuple(re.findall(r"`(.+?)`", words)) == WORDS_OF_LABELS
