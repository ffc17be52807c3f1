# mistune and bleach say little of their types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Markdown of a notebook as HTML that can stand in a page of ours.

A notebook is anybody's, and what is made of its text acts as whoever looks at the page. So HTML in it is text, and of
what the renderer makes only what is listed is let through.
"""

from functools import lru_cache
from typing import Any, cast

import bleach
import mistune
from markupsafe import Markup

LONGEST = 20_000
"""Characters of Markdown that are rendered; the rest is left out."""
_TAGS = frozenset(
    {
        *("a", "p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "ul", "ol", "li"),
        *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
    }
)
_ATTRIBUTES = {"a": ["href", "title", "rel"]}
_DOWN = {"h1": "h3", "h2": "h4", "h3": "h5", "h4": "h6", "h5": "h6", "h6": "h6"}


class _Renderer(mistune.HTMLRenderer):
    """Headings below those of the page, links that say nothing of it, and a picture's text in place of it."""

    def heading(self, text: str, level: int, **_: Any) -> str:
        """A heading, two levels down."""
        tag = _DOWN[f"h{level}"]
        return f"<{tag}>{text}</{tag}>\n"

    def link(self, text: str, url: str, title: str | None = None) -> str:
        """A link that is followed without saying from where."""
        return super().link(text, url, title).replace("<a ", '<a rel="noopener noreferrer nofollow" ', 1)

    def image(self, text: str, url: str, title: str | None = None) -> str:  # noqa: ARG002 - mistune's own names
        """What a picture shows: pages load none of strangers."""
        return text


@lru_cache(maxsize=1)
def _markdown() -> Any:
    return mistune.create_markdown(renderer=_Renderer(escape=True), plugins=["table", "strikethrough"])


def to_html(text: str) -> Markup:
    """Markdown as HTML without scripts, styles, pictures or forms."""
    rendered = cast("str", _markdown()(text[:LONGEST]))
    cleaned = bleach.clean(rendered, tags=_TAGS, attributes=_ATTRIBUTES, protocols=["http", "https", "mailto"])
    return Markup(cleaned)  # noqa: S704 - bleach has cleaned it


def without_title(text: str) -> str:
    """Markdown without the heading that it begins with: the page has the notebook's name already."""
    first, _, rest = text.lstrip().partition("\n")
    return rest.strip() if first.startswith("# ") else text.strip()
