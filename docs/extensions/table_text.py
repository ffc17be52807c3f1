"""Texts of the code as Markdown, in paragraphs and in the rows of tables."""

import re

_CODE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)


def prose(text: str) -> str:
    """A description or a docstring: what it has in angle or square brackets is no HTML and no reference, and its double
    backticks are single ones. What stands in backticks stays as it is."""
    text = text.replace("\f", "").replace("\b", "").strip()
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        parts += [_plain(text[end : code.start()]), f"`{code[2]}`"]
        end = code.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    """Text outside of backticks; a link is left a link."""
    return re.sub(r"\[(?![^\]]*\]\()", r"\\[", text).replace("<", "&lt;")


def cell(text: str) -> str:
    """A text in a row of a table, in one line."""
    return prose(" ".join(text.split())).replace("|", r"\|")
