"""What a page refers to is there for whoever reads it in the repository; those of the site its build checks."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = {"_build", "api", "commands"}
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not MADE & set(path.relative_to(ROOT).parts)
)
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """The names that the headings of a page have, as GitHub and MyST give them."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(text)}


def broken(page: Path) -> Iterator[str]:
    """The links of a page to what is not in the repository; those to elsewhere are left out."""
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = page.parent / target if target else page
        made = path.suffix == ".md" and path.parent.name in MADE
        if (not path.exists() and not made) or (
            anchor and path.suffix == ".md" and not made and anchor not in anchors(path.read_text())
        ):
            yield link


def test_every_link_of_a_page_leads_to_something() -> None:
    assert len(PAGES) > 50
    assert {str(page): found for page in PAGES if (found := list(broken(page)))} == {}


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[a](#a-page) [b](#no-page) [c](gone.md) [d](page.md#a-page) `[e](gone)` [f](https://a.b)\n"
    )
    assert list(broken(page)) == ["#no-page", "gone.md"]


@pytest.mark.parametrize("part", ["tutorials", "how-to", "reference", "explanation"])
def test_the_index_of_a_part_lists_each_of_its_pages(part: str) -> None:
    """A page that is in none is found by nobody who reads the site."""
    index = (ROOT / "docs" / part / "index.md").read_text()
    listed = {
        name.removesuffix(".md")
        for tree in re.findall(r"```\{toctree\}(.*?)```", index, re.DOTALL)
        for name in tree.split()
    }
    pages = {path.stem for path in (ROOT / "docs" / part).glob("*.md")} - {"index"}
    assert pages - listed == set()
