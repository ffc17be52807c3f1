"""What tests of pages share: the forms in a page, as a browser without scripts would send them, and a notebook."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Form(HTMLParser):
    """What a browser would send of the form with a certain action: the fields, and what is in them."""

    def __init__(self, text: str, action: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False
        self._action, self._select, self._area = action, "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("action") == self._action and given.get("method") == "post"
        if not self._inside:
            return
        if tag == "input" and "name" in given and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[given["name"]] = given.get("value", "")
        if tag == "select":
            self._select = given["name"]
            self.fields[self._select] = ""
        if tag == "option" and "selected" in given:
            self.fields[self._select] = given.get("value", "")
        if tag == "textarea":
            self._area = given["name"]
            self.fields[self._area] = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        if tag == "form":
            self._inside = False


def registered(browser: httpx.Client, path: Path, *parameters: dict[str, Any]) -> int:
    body = {"name": "Sales", "file_path": str(path), "username": "ana"}
    made = browser.post("/db/notebooks", json=body)
    assert made.status_code == 201, made.text
    notebook_id = made.json()["id"]
    if parameters:
        assert browser.post(f"/db/parameters/bulk/{notebook_id}", json=list(parameters)).status_code == 201
    return notebook_id
