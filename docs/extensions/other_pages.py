"""A how-to page that is in none of the groups of the index is put into the last one, so that none is out of reach."""

from pathlib import Path

from sphinx.application import Sphinx

INDEX = "how-to/index"


def ungrouped(folder: Path, index: str) -> list[str]:
    """The names of the pages of ``folder`` that the text of its index does not name."""
    named = {line.strip() for line in index.splitlines()}
    return sorted(page.stem for page in folder.glob("*.md") if page.stem != "index" and page.stem not in named)


def _add(app: Sphinx, name: str, source: list[str]) -> None:
    if name == INDEX and (others := ungrouped(Path(app.srcdir, "how-to"), source[0])):
        source[0] += "\n".join(["\n```{toctree}", ":caption: Other tasks", ":maxdepth: 1\n", *others, "```\n"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _add)
    return {"parallel_read_safe": True}
