"""The pages over HTTP, as a browser without scripts sees them."""

import json
import re
import shlex
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from page_forms import HTML, Form, registered
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PREFIX = "/tools/pressroom"
ADDRESSES = "src|href|action|formaction|hx-get|hx-post|data-events|data-source"
CELL = """region: str = "EMEA"  # which region
top_n: int = 8  # how many are shown
since = "2026-10-01"
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0})


def test_the_root_is_the_home_page_for_browsers_and_a_map_for_programs(browser: httpx.Client) -> None:
    sent = browser.get("/")
    assert (sent.status_code, sent.headers["Location"], sent.headers["Vary"]) == (303, "/home", "Accept")
    told = browser.get("/", headers={"Accept": "*/*"})
    assert told.json()["service"] == "pressroom"
    assert "/home" not in told.json()["endpoints"], "pages are not the API"
    home = browser.get("/home")
    assert home.status_code == 200
    assert "Begin here" in home.text
    assert "/notebooks/files" in home.text
    token = browser.post("/db/tokens", json={"name": "to look", "scopes": ["read", "execute"]}).json()["token"]
    looking = browser.get("/home", headers={"Authorization": f"Bearer {token}"})
    assert "Begin here" in looking.text
    assert "/notebooks/files" not in looking.text, "whoever may not register a notebook is not asked to"


def test_a_file_is_registered_with_what_its_parameters_cell_proposes(browser: httpx.Client, home: Path) -> None:
    path = write_notebook(home / "reports" / "regional_sales.ipynb", "print(1)", parameters=CELL)
    assert "reports/regional_sales.ipynb" in browser.get("/notebooks/files").text
    page = browser.get("/notebooks/new", params={"path": str(path)})
    form = Form(page.text, "/notebooks/new").fields
    assert form["name"] == "Regional sales"
    assert {form[f"d.{n}.name"]: form[f"d.{n}.type"] for n in range(3)} == {
        "region": "string",
        "top_n": "integer",
        "since": "string",
    }
    assert "Nothing was registered" not in browser.get("/notebooks/new", params={"path": f"{path}x"}).text
    wrong = browser.post("/notebooks/new", data=form | {"d.1.low": "9", "name": ""})
    assert wrong.status_code == 422
    assert "Nothing was registered: 1 field or parameter is not right" in wrong.text
    assert "String should have at least 1 character" in wrong.text
    wrong = browser.post("/notebooks/new", data=form | {"d.1.low": "9", "tags": "report, monthly"})
    assert wrong.status_code == 422
    assert "breaks its own rules" in wrong.text
    kept = Form(wrong.text, "/notebooks/new").fields
    assert (kept["d.1.low"], kept["tags"]) == ("9", "report, monthly")
    done = browser.post("/notebooks/new", data=kept | {"d.1.low": "1", "d.1.high": "50", "d.0.options": "EMEA, APAC"})
    assert done.status_code == 303
    page = browser.get(done.headers["Location"])
    assert "The notebook is registered." in page.text
    for part in ('type="range"', '<option value="APAC">APAC</option>', "Which region", "monthly"):
        assert part.lower() in page.text.lower()
    assert "reports/regional_sales.ipynb" not in browser.get("/notebooks/files").text
    assert "Regional sales" in browser.get("/notebooks", params={"q": "regional", "tag": "report"}).text
    assert "No notebook matches" in browser.get("/notebooks", params={"q": "100%"}).text


def test_wrong_values_stand_beside_their_fields_and_all_is_kept(browser: httpx.Client, notebook: Path) -> None:
    number = registered(
        browser,
        notebook,
        {"param_name": "month", "param_type": "string", "validation_rules": {"pattern": "^[0-9-]+$"}},
        {
            "param_name": "months",
            "param_type": "integer",
            "default_value": 3,
            "validation_rules": {"min": 1, "max": 12},
        },
        {"param_name": "note", "param_type": "string"},
    )
    action = f"/notebooks/{number}/execute"
    form = Form(browser.get(f"/notebooks/{number}").text, action).fields
    assert form["p.months"] == "3"
    wrong = browser.post(action, data=form | {"p.month": '"><b>', "p.months": "30", "p.note": "kept"})
    assert wrong.status_code == 422
    api = browser.post(f"/db/notebooks/{number}/executions", json={"parameters": {"months": 30}})
    said = api.json()["errors"][0]["detail"].replace("'", "&#39;")
    assert said in wrong.text, "in the API's own words"
    assert "2 fields are not right" in wrong.text
    assert "<b>" not in wrong.text
    kept = Form(wrong.text, action).fields
    assert (kept["p.month"], kept["p.months"], kept["p.note"]) == ('"><b>', "30", "kept")
    assert wrong.text.count('aria-invalid="true"') == 2
    wrong = browser.post(action, data=form | {"timeout_seconds": "soon"})
    assert wrong.status_code == 422
    assert "should be a valid number" in wrong.text
    assert browser.get("/db/executions").json() == []

    done = browser.post(action, data=form | {"p.months": "4"})
    assert done.status_code == 303
    [execution] = browser.get("/db/executions").json()
    assert done.headers["Location"] == f"/executions/{execution['id']}"
    assert execution["parameters_used"] == {"months": 4}
    page = browser.get(done.headers["Location"])
    assert "Waiting for a worker" in page.text
    assert '<meta http-equiv="refresh"' in page.text, "it goes on without scripts"
    again = browser.get(f"/notebooks/{number}", params={"from": execution["id"]})
    assert Form(again.text, action).fields["p.months"] == "4"
    stopped = browser.post(f"/executions/{execution['id']}/cancel")
    assert "It was cancelled before it started." in browser.get(stopped.headers["Location"]).text
    assert browser.post(f"/executions/{execution['id']}/cancel").status_code == 303, "it has ended already"


def test_a_view_of_the_history_is_an_address(browser: httpx.Client, notebook: Path) -> None:
    orders = [{"input_path": str(notebook), "parameters": {"months": n}} for n in range(55)]
    ids = browser.post("/db/executions/bulk", json={"executions": orders}).json()["ids"]
    asked = {"status": ["pending", "running"], "queue": "", "parameter": "months", "value": "7", "submitted_after": ""}
    sent = browser.get("/executions", params=asked)
    assert sent.headers["Location"] == "/executions?status=pending&status=running&param.months=7"
    page = browser.get(sent.headers["Location"])
    assert set(re.findall(r'href="/executions/(\d+)"', page.text)) == {str(ids[7])}
    seen: list[str] = []
    address = "/executions"
    while address:
        page = browser.get(address)
        seen += dict.fromkeys(re.findall(r'href="/executions/(\d+)"', page.text))
        following = re.search(r'rel="next" href="([^"]+)"', page.text)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == [str(one) for one in reversed(ids)]
    wrong = browser.get("/executions", params={"submitted_after": "yesterday", "notebook_id": "x", "status": "late"})
    assert wrong.status_code == 422
    for words in ("must be a time as ISO 8601", "must be the number of one", "must be some of"):
        assert words in wrong.text
    wrong = browser.get("/executions", params={"color": "red"})
    assert (wrong.status_code, "There is no filter" in wrong.text) == (422, True)
    assert browser.get("/executions?queue=a&queue=b").status_code == 422
    assert browser.get("/executions", params={"notebook_id": "9" * 4301}).status_code == 422
    day = browser.get("/executions", params={"submitted_after": "2026-10-01", "parameter": "months", "value": ""})
    assert day.headers["Location"] == "/executions?submitted_after=2026-10-01T00%3A00Z&param.months="
    assert browser.get(day.headers["Location"]).status_code == 200


def test_a_refusal_is_a_page_in_the_words_of_the_api(browser: httpx.Client) -> None:
    for path, api in (("/notebooks/77", "/db/notebooks/77"), ("/executions/77", "/db/executions/77")):
        page = browser.get(path)
        assert page.status_code == 404
        assert page.headers["Content-Type"].startswith("text/html")
        assert browser.get(api).json()["detail"] in page.text, "the API answers a browser as everybody"
        assert browser.get(path, headers={"Accept": "*/*"}).json()["status"] == 404
    assert browser.get("/nowhere").headers["Content-Type"].startswith("text/html")
    assert browser.get("/notebooks/x").status_code == 422
    assert browser.get("/appearance", params={"theme": "dark", "back": "//evil.example.com"}).status_code == 422


def test_the_address_of_a_form_that_was_refused_leads_to_its_page(browser: httpx.Client, notebook: Path) -> None:
    number = registered(browser, notebook)
    refused = browser.post(f"/notebooks/{number}/execute", data={"priority": "x"})
    assert refused.status_code == 422
    opened = browser.get(refused.url.path)
    assert (opened.status_code, opened.headers["Location"]) == (303, f"/notebooks/{number}")
    assert browser.get(refused.url.path, headers={"Accept": "*/*"}).status_code == 405
    assert browser.head(f"/notebooks/{number}").status_code == 405
    for path, page in (("/sign-out", "/home"), ("/tokens/5/revoke", "/tokens"), ("/notebooks/5/grants/revoke", None)):
        assert browser.get(path).headers["Location"] == (page or "/notebooks/5")
    assert browser.get("/db/batches/1/cancel").status_code == 405, "the API answers a browser as everybody"


def test_what_an_execution_did_not_come_to_is_said(
    browser: httpx.Client, notebook: Path, plain: psycopg.Connection[Any]
) -> None:
    ids = browser.post("/db/executions/bulk", json={"executions": [{"input_path": str(notebook)}] * 3}).json()["ids"]
    cancelled, lost, waits = [f"/executions/{each}" for each in ids]
    browser.post(f"{cancelled}/cancel")
    plain.execute(
        "INSERT INTO execution_attempts (execution_id, number, worker, worker_id, host, process_id, ended_at, reason, "
        "message) SELECT id, 1, 'w-1', 1, 'h', 1, now(), 'worker_lost', 'Worker w-1 was lost.' "
        "FROM notebook_executions WHERE id > %s",
        (ids[0],),
    )
    plain.execute("UPDATE notebook_executions SET attempt = 1, started_at = now() WHERE id > %s", (ids[0],))
    plain.execute("UPDATE notebook_executions SET status = 'cancelled', completed_at = now() WHERE id = %s", (ids[1],))
    page = browser.get(cancelled).text
    assert "<span>submitted" in page
    assert "<span>started" not in page, "it never was"
    page = browser.get(lost).text
    assert f"There is no output of execution {ids[1]}" in page
    assert "<iframe" not in page
    assert f'href="/db/executions/{ids[1]}/log"' in page
    [path] = plain.execute("SELECT output_path FROM notebook_executions WHERE id = %s", (ids[1],)).fetchone() or [""]
    strange = {"language_info": {"name": "\ud800", "version": 3}, "pressroom": {"execution_id": ids[1]}}
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(json.dumps({"cells": [], "metadata": strange, "nbformat": 4, "nbformat_minor": 5}))
    page = browser.get(lost)
    assert (page.status_code, "<iframe" in page.text) == (200, True)
    page = browser.get(waits).text
    assert "Waiting to be tried again" in page
    assert "Worker w-1 was lost." in page


def test_how_pages_look_is_kept_without_scripts(browser: httpx.Client) -> None:
    assert 'data-theme="auto"' in browser.get("/ui").text
    sent = browser.get("/appearance", params={"theme": "dark", "back": "/ui"})
    assert (sent.status_code, sent.headers["Location"]) == (303, "/ui")
    assert 'data-theme="dark"' in browser.get("/ui").text


def pages(browser: httpx.Client, notebook: Path) -> Iterator[httpx.Response]:
    number = registered(browser, notebook, {"param_name": "region", "param_type": "string"})
    done = browser.post(f"/db/notebooks/{number}/executions", json={}, headers={"Prefer": "respond-async"})
    batch = browser.post("/db/batches", json={"notebook_id": number, "grid": {"region": ["EMEA", "APAC"]}}).json()["id"]
    wanted = {"notebook_id": number, "name": "daily", "cron": "@daily"}
    schedule = browser.post("/db/schedules", json=wanted).json()["id"]
    assert browser.post("/db/tokens", json={"scopes": ["read"]}).status_code == 201
    execution = done.json()["id"]
    yield from (
        browser.get(path)
        for path in (
            *("/home", "/notebooks", "/notebooks/files", f"/notebooks/new?path={notebook}", "/ui", "/executions"),
            *(f"/notebooks/{number}{page}" for page in ("", "/sweep", "/parameters", "/compare")),
            *(f"/executions/{execution}", f"/difference?executions={execution},{execution}", "/notebooks/999"),
            *("/batches", f"/batches/{batch}", "/schedules", f"/schedules/{schedule}", f"/schedules/{schedule}/edit"),
            *(f"/schedules/new?notebook_id={number}", "/service/workers", "/service/kernels", "/service/audit"),
            "/tokens",
        )
    )


def test_pages_hold_no_script_and_no_style_of_their_own(browser: httpx.Client, notebook: Path) -> None:
    for page in pages(browser, notebook):
        assert page.status_code == (404 if page.url.path == "/notebooks/999" else 200), page.url
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'; style-src 'self'" in policy
        assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page.text) == []
        assert re.findall(r'(?:src|href)="https?://', page.text) == []
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert ("uPlot" in page.text) == page.url.path.endswith("/compare"), "charts are loaded where they are drawn"


def test_what_pages_load_is_kept_for_good_under_the_name_of_its_content(browser: httpx.Client) -> None:
    page = browser.get("/home").text
    loaded = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page))
    assert len(loaded) == 5
    weight = len(page.encode())
    for path in loaded:
        asset = browser.get(path)
        assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert asset.headers["Content-Encoding"] == "gzip"
        weight += int(asset.headers["Content-Length"])
    assert weight < 60_000
    assert browser.get("/assets/pressroom-000000000000.css").status_code == 404


def test_what_is_asked_for_again_and_again_is_the_part_that_changes(browser: httpx.Client, notebook: Path) -> None:
    number = registered(browser, notebook, {"param_name": "region", "param_type": "string"})
    batch = browser.post("/db/batches", json={"notebook_id": number, "grid": {"region": ["EMEA", "APAC"]}}).json()["id"]
    for path, target, ids in (("/home", "now", {"now"}), (f"/batches/{batch}", "stands", {"facts", "stands"})):
        part = browser.get(path, headers={"HX-Request": "true", "HX-Target": target}).text
        assert "<html" not in part
        assert ids <= set(re.findall(r'id="([^"]+)"', part)), "what the page puts in place of the old"
        linked = re.findall(r"<a ([^>]*)>", part)
        assert [each for each in linked if " id=" not in f" {each}" and "crumbs" not in each] == [], "the focus stays"


def test_a_page_is_compressed_for_whoever_can_read_that(browser: httpx.Client) -> None:
    page = browser.get("/ui")
    assert (page.headers["Content-Encoding"], page.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert int(page.headers["Content-Length"]) < len(page.content) / 3
    plain = browser.get("/ui", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert plain.text == page.text


def test_executions_of_one_notebook_are_chosen_from_the_history_to_be_compared(
    browser: httpx.Client, notebook: Path, home: Path
) -> None:
    number = registered(browser, notebook)
    alone = write_notebook(home / "alone.ipynb", "1")
    orders = [{"notebook_id": number}, {"notebook_id": number}]
    ids = browser.post("/db/executions/bulk", json={"executions": orders}).json()["ids"]
    [other] = browser.post("/db/executions/bulk", json={"executions": [{"input_path": str(alone)}]}).json()["ids"]
    assert f'name="executions" value="{ids[0]}"' in browser.get("/executions").text
    sent = browser.get("/compare", params={"executions": ids})
    assert sent.headers["Location"] == f"/notebooks/{number}/compare?executions={ids[0]}%2C{ids[1]}"
    for wrong in ([], [ids[0], other]):
        assert browser.get("/compare", params={"executions": wrong}).status_code == 422


def test_the_call_beside_the_form_is_of_what_is_typed(browser: httpx.Client, notebook: Path) -> None:
    number = registered(
        browser,
        notebook,
        {"param_name": "region", "param_type": "string"},
        {"param_name": "note", "param_type": "string", "default_value": "a note"},
    )
    typed = {"p.region": "LATAM", "p.note": "", "queue": "reports", "priority": "3"}
    looked = browser.post(f"/notebooks/{number}/execute", data=typed | {"look": "yes"})
    assert looked.status_code == 200
    assert re.search(r'id="call-command"[^>]*>[^<]*-p region LATAM', looked.text)
    [curl] = re.findall(r'id="call-curl"[^>]*>([^<]*)<', looked.text)
    body = json.loads(shlex.split(unescape(curl).replace("\\\n", " "))[-1])
    assert body == {"parameters": {"region": "LATAM", "note": ""}, "queue": "reports", "priority": 3}
    assert browser.get("/db/executions").json() == []


def test_every_address_of_a_page_has_the_prefix(settings: Settings, notebook: Path) -> None:
    with (
        Service(settings.model_copy(update={"root_path": PREFIX})) as running,
        httpx.Client(base_url=running.url + PREFIX, headers=HTML, timeout=60) as browser,
    ):
        for page in pages(browser, notebook):
            addresses = re.findall(rf'\s(?:{ADDRESSES})="([^"#][^"]*)"', page.text)
            assert [each for each in addresses if not each.startswith(f"{PREFIX}/")] == []
        sent = browser.get("/")
        assert sent.headers["Location"] == f"{PREFIX}/home"
