"""Writes the pages of the reference that are made from the code, before Sphinx reads them; and sees that none lacks."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

import api_reference
import command_reference
from client_reference import check_clients

MADE = {"api": api_reference.pages, "commands": command_reference.pages}
"""The folders of ``docs/reference`` that hold nothing else, and what their pages are made by."""


def _write(app: Sphinx) -> None:
    for name, pages in MADE.items():
        folder = Path(app.srcdir, "reference", name)
        made = {f"{page}.md": text for page, text in pages().items()}
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in made:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for file, text in made.items():
            path = folder / file
            if not path.exists() or path.read_text() != text:  # else Sphinx need not read it again
                path.write_text(text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("env-check-consistency", check_clients)
    return {"parallel_read_safe": True}
