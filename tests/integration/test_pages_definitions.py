"""What the editor of parameters does not lose: it is saved as it was where nobody touched it."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from page_forms import Form, registered
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
QUERY = "SELECT *\nFROM sales -- all\nWHERE region = 'EMEA'"
DEFINED: list[dict[str, Any]] = [
    {"param_name": "query", "param_type": "string", "default_value": QUERY, "description": "In SQL.\nOne statement."},
    {"param_name": "note", "param_type": "string", "default_value": ""},
    {"param_name": "kind", "param_type": "string", "validation_rules": {"choices": ["one\nand more", "two"]}},
    {"param_name": "asked", "param_type": "string", "default_value": "Windows\r\nlines", "description": ""},
    {"param_name": "any", "param_type": "json", "validation_rules": {"options": ["a", "1", {"b": 2}]}},
    {"param_name": "some", "param_type": "list", "validation_rules": {"options": [1, "2"]}},
    {"param_name": "few", "param_type": "integer", "validation_rules": {"min": 1, "max": 9}},
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0})


def stored(browser: httpx.Client, number: int) -> dict[str, dict[str, Any]]:
    rows = browser.get(f"/db/parameters/notebook/{number}").json()
    return {row["param_name"]: row for row in rows}


def form_at(browser: httpx.Client, action: str, **query: str) -> dict[str, str]:
    """The form as a browser has it: no field of one line holds several."""
    text = browser.get(action, params=query).text
    assert re.findall(r'value="[^"]*\n', text) == [], "a browser would take the end of the line out"
    return Form(text, action).fields


def test_what_nobody_touched_stays_as_it_is(browser: httpx.Client, notebook: Path) -> None:
    number = registered(browser, notebook, *DEFINED)
    before, action = stored(browser, number), f"/notebooks/{number}/parameters"
    form = form_at(browser, action)
    assert browser.post(action, data=form).status_code == 303
    assert stored(browser, number) == before
    [entry, *_] = browser.get("/db/audit").json()
    assert entry["facts"] == {}, "nothing was changed"
    sent = {name: value.replace("\r\n", "\n").replace("\n", "\r\n") for name, value in form.items()}
    assert browser.post(action, data=sent | {"d.2.description": "Which."}).status_code == 303
    after = stored(browser, number)
    assert after.pop("kind")["description"] == "Which."
    before.pop("kind")
    assert after == before
    low = next(name for name, value in form.items() if name.endswith(".name") and value == "few").replace("name", "low")
    assert browser.post(action, data=form_at(browser, action) | {low: "2"}).status_code == 303
    assert stored(browser, number)["few"]["validation_rules"] == {"min": 2, "max": 9}
    assert browser.post(action, data=form_at(browser, action) | {"d.1.default": "x"}).status_code == 303
    assert stored(browser, number)["note"]["default_value"] == "x"


def test_a_default_of_several_lines_is_registered_as_the_file_has_it(browser: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "n.ipynb", "1", parameters=f'query = """{QUERY}"""')
    form = form_at(browser, "/notebooks/new", path=str(path))
    done = browser.post("/notebooks/new", data=form)
    assert done.status_code == 303, done.text
    [number] = [each["id"] for each in browser.get("/db/notebooks").json()]
    assert stored(browser, number)["query"]["default_value"] == QUERY


def test_a_new_parameter_without_a_name_is_not_lost(browser: httpx.Client, notebook: Path) -> None:
    number = registered(browser, notebook, DEFINED[1])
    action = f"/notebooks/{number}/parameters"
    form = form_at(browser, action)
    wrong = browser.post(action, data=form | {"d.1.default": "7", "d.1.type": "integer", "d.1.take": "yes"})
    assert (wrong.status_code, "It has no name." in wrong.text) == (422, True)
    kept = Form(wrong.text, action).fields
    assert (kept["d.1.name"], kept["d.1.default"], kept["d.1.type"]) == ("", "7", "integer")
    assert set(stored(browser, number)) == {"note"}
    assert browser.post(action, data=kept | {"d.1.name": "months"}).status_code == 303
    assert stored(browser, number)["months"]["default_value"] == 7
    left_out = {name: value for name, value in kept.items() if name != "d.1.take"}
    assert browser.post(action, data=left_out).status_code != 422, "whoever unticks it does not want it"
