"""A notebook's Markdown in a page of ours: what it shows, and what comes of what it tries."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.errors import NotebookInvalid
from pressroom.notebooks.places import Location
from pressroom.web.descriptions import Descriptions
from pressroom.web.markdown import LONGEST, to_html, without_title

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<iframe src=//evil.example.com></iframe>",
    "<form action=/db/tokens method=post><button>x</button></form>",
    '<a href="javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](//evil.example.com/pixel.png)",
    '[x](/a "onmouseover=alert(1)")',
    '[x](<"onmouseover=alert(1)//>)',
    "<svg/onload=alert(1)>",
    "<style>body{display:none}</style>",
    "<meta http-equiv=refresh content=0;url=//evil.example.com>",
    "<base href=//evil.example.com>",
    "`<script>alert(1)</script>`",
    "```\n</code></pre><script>alert(1)</script>\n```",
    "<div style=position:fixed;inset:0>x</div>",
    "<<script>script>alert(1)<</script>/script>",
]
ALLOWED = {
    *("a", "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


class Seen(HTMLParser):
    """The tags and the attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def assert_harmless(text: str) -> None:
    seen = Seen(to_html(text))
    assert seen.tags <= ALLOWED
    assert {name for name, _ in seen.attributes} <= {"href", "title", "rel"}
    for name, value in seen.attributes:
        if name == "href":
            assert (value or "").partition(":")[0].lower().strip() not in ("javascript", "data", "vbscript")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_markdown_is_text(text: str) -> None:
    assert_harmless(text)


# The first text of a run is slow to make: the table of all characters is made for it.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from([*HOSTILE, "<", ">", '"', "'", "`", "[", "](", ")", "\n", "\n\n", "# ", "&#106;", "\t"])
    ).map("".join)
)
def test_no_mixture_of_it_is_more(text: str) -> None:
    assert_harmless(text)


def test_what_a_notebook_says_of_itself_is_shown() -> None:
    shown = to_html(
        "## Data\n\nOne *month* of [sales](https://example.com/a?b=1&c=2).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    assert "<h4>Data</h4>" in shown
    assert "<em>month</em>" in shown
    assert '<a rel="noopener noreferrer nofollow" href="https://example.com/a?b=1&amp;c=2">sales</a>' in shown
    assert "<td>1</td>" in shown


def test_the_title_is_left_out_since_the_page_has_one() -> None:
    assert without_title("# Sales\n\nOf a month.") == "Of a month."
    assert without_title("Of a month.\n# Sales") == "Of a month.\n# Sales"


def test_what_a_notebook_says_of_itself_is_made_once_until_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "n.ipynb"
    place = Location(tmp_path, file, one_mount=False, account=None)
    descriptions = Descriptions()
    file.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Sales\n", "a" * 50_000]}]}))
    found = descriptions.of(place, 10**6)
    assert found is not None
    assert found.startswith("<p>aaa")
    assert len(found) < LONGEST + 10
    assert descriptions.of(place, 10**6) is found
    with pytest.raises(NotebookInvalid):
        Descriptions().of(place, 10)
    file.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}))
    assert descriptions.of(place, 10**6) is None
