"""The pages by which people say who may do what: parameters, grants, tokens; a copy to debug; and the service's own."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from page_forms import Form, registered
from pressroom.settings import Settings

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0})


def test_parameters_are_edited_all_in_one_form(browser: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "n.ipynb", "1", parameters='region: str = "EMEA"  # which\nmonths = 3\n')
    rules = {"min_length": 2, "options": ["EMEA", "APAC"]}
    number = registered(
        browser,
        path,
        {"param_name": "region", "param_type": "string", "validation_rules": rules},
        {"param_name": "old", "param_type": "integer"},
    )
    action = f"/notebooks/{number}/parameters"
    form = Form(browser.get(action, params={"infer": "yes"}).text, action).fields
    assert [form[f"d.{at}.name"] for at in range(4)] == ["region", "old", "months", ""], "what the file has besides"
    assert (form["d.0.shortest"], form["d.0.options"]) == ("2", "EMEA, APAC")
    assert {"d.0.low", "d.1.shortest", "d.1.pattern"} <= form.keys(), "the rules of every type, which may be changed"
    assert form["back"] == f"{action}?infer=yes", "what was read from the file comes back after a sign-in"
    fresh = "/notebooks/new?path=" + str(write_notebook(home / "b.ipynb", "1")).replace("/", "%2F")
    assert Form(browser.get(fresh).text, "/notebooks/new").fields["back"] == fresh
    wrong = browser.post(action, data=form | {"d.2.low": "9", "d.2.high": "1"})
    assert (wrong.status_code, "1 parameter is not right" in wrong.text) == (422, True)
    before = browser.get(f"/db/parameters/notebook/{number}").json()
    for name in ("months", "region"):
        twice = browser.post(action, data=form | {"d.3.name": name, "d.3.type": "string", "d.3.take": "yes"})
        assert (twice.status_code, "1 parameter is not right" in twice.text) == (422, True)
        assert f"Another parameter of this form is called &#39;{name}&#39;." in twice.text
    assert browser.get(f"/db/parameters/notebook/{number}").json() == before, "none is changed in another's name"
    changed = {name: value for name, value in form.items() if name != "d.1.take"}
    changed |= {"d.0.default": "APAC", "d.3.name": "limit", "d.3.type": "float", "d.3.take": "yes", "d.3.high": "1.5"}
    asked = browser.post(action, data=changed)
    assert (asked.status_code, "old would be deleted" in asked.text) == (200, True)
    assert 'name="delete" value="old"' in asked.text
    done = browser.post(action, data=changed | {"delete": "old"})
    assert done.status_code == 303, done.text
    found = {each["param_name"]: each for each in browser.get(f"/db/parameters/notebook/{number}").json()}
    assert found.keys() == {"region", "months", "limit"}
    assert (found["region"]["default_value"], found["region"]["validation_rules"]) == ("APAC", rules)
    assert (found["limit"]["validation_rules"], found["months"]["default_value"]) == ({"max": 1.5}, 3)
    [entry, *_] = browser.get("/db/audit").json()
    assert entry["facts"] == {"changed": ["region"], "added": ["months", "limit"], "deleted": ["old"]}


def test_an_owner_says_on_the_page_who_may_do_what(browser: httpx.Client, notebook: Path) -> None:
    number = registered(browser, notebook)
    here = f"/notebooks/{number}"
    done = browser.post(f"{here}/grants", data={"kind": "group", "grantee": " finance/emea ", "level": "runner"})
    page = browser.get(done.headers["Location"])
    assert "What others may do is saved." in page.text
    assert "finance/emea" in page.text
    [grant] = browser.get(f"/db{here}/grants").json()
    assert (grant["kind"], grant["grantee"], grant["level"]) == ("group", "finance/emea", "runner")
    wrong = browser.post(f"{here}/grants", data={"kind": "user", "grantee": "", "level": "owner"})
    assert (wrong.status_code, "grantee: String should have at least 1 character" in wrong.text) == (422, True)
    form = Form(page.text, f"{here}/grants/revoke").fields
    assert browser.post(f"{here}/grants/revoke", data=form).status_code == 303
    assert browser.get(f"/db{here}/grants").json() == []


def test_a_token_is_shown_once_and_worthless_when_it_is_revoked(browser: httpx.Client) -> None:
    assert "There is no token yet" in browser.get("/tokens").text
    wrong = browser.post("/tokens", data={"name": "nightly", "days": "7"})
    assert (wrong.status_code, "Tick what it may be used for." in wrong.text) == (422, True)
    made = browser.post("/tokens", data={"name": "nightly", "days": "7", "scopes": ["read", "execute"]})
    assert (made.status_code, made.headers["Cache-Control"]) == (200, "no-store")
    [secret] = re.findall(r"prs_[\w-]{43}", made.text)
    assert secret not in browser.get("/tokens").text
    [token] = browser.get("/db/tokens").json()
    assert (token["name"], token["scopes"]) == ("nightly", ["execute", "read"])
    used = {"Authorization": f"Bearer {secret}"}
    assert browser.get("/session", headers=used).json()["username"] == "ana"
    gone = browser.post(f"/tokens/{token['id']}/revoke")
    assert "worthless from now on" in browser.get(gone.headers["Location"]).text
    assert browser.get("/db/notebooks", headers=used).status_code == 401


def test_a_copy_of_what_was_executed_has_its_parameters_and_no_outputs(
    browser: httpx.Client, notebook: Path, home: Path, plain: psycopg.Connection[Any]
) -> None:
    sent = browser.post("/execute", json={"input_path": str(notebook)}, headers={"Prefer": "respond-async"}).json()
    number = sent["id"]
    refused = browser.post(f"/executions/{number}/copy")
    assert (refused.status_code, "There is no output" in refused.text) == (404, True)
    output = write_notebook(home / "out.ipynb", "months = 7", "print(months)")
    written = json.loads(output.read_text())
    written["cells"][0]["metadata"]["tags"] = ["injected-parameters"]
    written["cells"][1] |= {"execution_count": 2, "metadata": {"papermill": {"exception": True}}}
    written["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "7"}]
    written["metadata"] |= {"pressroom": {"execution_id": number}, "papermill": {}}
    output.write_text(json.dumps(written))
    plain.execute(
        "UPDATE notebook_executions SET status = 'failed', attempt = 1, completed_at = now(), output_path = %s "
        "WHERE id = %s",
        (str(output), number),
    )
    assert "Copy to debug" in browser.get(f"/executions/{number}").text
    for name in (f"{notebook.stem}-{number}.ipynb", f"{notebook.stem}-{number}-2.ipynb"):
        page = browser.post(f"/executions/{number}/copy")
        assert (page.status_code, f"<code>{name}</code>" in page.text) == (200, True), page.text
        copy = json.loads((home / name).read_text())
        assert [cell["source"] for cell in copy["cells"]] == ["months = 7", "print(months)"]
        assert [cell["outputs"] for cell in copy["cells"]] == [[], []]
        assert "papermill" not in json.dumps(copy)
        assert "execution_id" not in json.dumps(copy)
    assert browser.get("/db/audit").json()[0]["facts"]["file"].endswith("-2.ipynb")


def test_an_administrator_has_the_buttons_of_anybodys_execution_that_is_of_no_notebook(
    browser: httpx.Client, notebook: Path, plain: psycopg.Connection[Any]
) -> None:
    sent = browser.post("/execute", json={"input_path": str(notebook)}, headers={"Prefer": "respond-async"}).json()
    plain.execute("UPDATE notebook_executions SET username = 'bo', submitted_by = 'bo'")
    here = f"/executions/{sent['id']}"
    page = browser.get(here).text
    assert f'action="{here}/cancel"' in page
    assert browser.post(f"{here}/cancel").status_code == 303
    assert f'action="{here}/again"' in browser.get(here).text


def test_the_pages_of_the_service_show_what_its_endpoints_answer(
    browser: httpx.Client, notebook: Path, plain: psycopg.Connection[Any]
) -> None:
    assert "Nobody works" in browser.get("/service/workers").text
    assert "No kernel is known" in browser.get("/service/kernels").text
    ask = {"input_path": str(notebook), "queue": "reports"}
    browser.post("/execute", json=ask, headers={"Prefer": "respond-async"})
    told = {"name": "python3", "language": "python", "display_name": "Python 3", "forked": True, "why_not": None}
    told |= {"preloaded": ["pandas"], "refused": {"torch": "it starts threads"}, "memory_bytes": 2**20, "forks": 7}
    plain.execute("INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (1)")
    plain.execute(
        "INSERT INTO workers (id, name, host, process_id, concurrency, version, kernels) "
        "VALUES (1, 'press-1', 'node-a', 42, 4, '1', %s)",
        (json.dumps([told]),),
    )
    page = browser.get("/service/workers").text
    for words in ("press-1", "Alive", "every queue", "/executions?queue=reports"):
        assert words in page
    page = browser.get("/service/kernels").text
    for words in ("forked, warm", "not torch: it starts threads", "1.0 MB"):
        assert words in page
    for _ in range(101):
        plain.execute(
            "INSERT INTO audit_log (username, operation, method, path, facts, allowed) "
            "VALUES ('bo', 'delete_a_notebook', 'DELETE', '/db/notebooks/1', '{\"made\": 1}', false)"
        )
    page = browser.get("/service/audit", params={"username": "bo", "allowed": "no"})
    assert page.text.count("delete a notebook") == 100
    older = re.search(r'href="([^"]+after=\d+)"', page.text)
    assert older is not None
    assert browser.get(older[1].replace("&amp;", "&")).text.count("delete a notebook") == 1
    assert "There is no entry" in browser.get("/service/audit", params={"allowed": "no", "username": "nobody"}).text
