"""A sweep, its batch and the comparison over HTTP, as a browser without scripts sees them. Nothing is executed here:
what executions would have recorded is written into their rows."""

import re
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from page_forms import Form, registered
from pressroom.settings import Settings

GRID = {"p.months": "1, 2", "p.region": ["", "EMEA", "APAC"]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"workers": 0, "batch_limit": 500})


@pytest.fixture
def number(browser: httpx.Client, notebook: Path) -> int:
    return registered(
        browser,
        notebook,
        {"param_name": "months", "param_type": "integer", "default_value": 3, "validation_rules": {"max": 600}},
        {"param_name": "region", "param_type": "string", "validation_rules": {"options": ["EMEA", "APAC"]}},
    )


def ended(plain: psycopg.Connection[Any], execution_id: int, status: str = "success", results: str = "{}") -> None:
    plain.execute(
        "UPDATE notebook_executions SET status = %s, results = %s, attempt = 1, started_at = now() - interval '4 s', "
        "completed_at = now() WHERE id = %s",
        (status, results, execution_id),
    )


def test_the_number_of_executions_is_shown_before_they_start(browser: httpx.Client, number: int) -> None:
    action = f"/notebooks/{number}/sweep"
    page = browser.get(action, params={"p.months": "4"})
    assert "No parameter has several values yet" in page.text
    form = Form(page.text, action).fields
    assert form["p.months"] == "4"

    looked = browser.post(action, data=form | GRID | {"look": "yes"})
    assert looked.status_code == 200
    assert "<b>4 executions</b>" in looked.text
    assert "Execute 4 times" in looked.text
    unseen = browser.post(action, data=form | GRID)
    assert (unseen.status_code, "the values were changed since they were counted" in unseen.text) == (200, True)
    assert browser.get("/db/batches").json() == [], "nothing starts that was not shown"

    wrong = browser.post(action, data=form | GRID | {"p.months": "600..601", "counted": "4"})
    assert wrong.status_code == 422
    assert "must be 600 or less" in wrong.text
    assert "600..601" in wrong.text, "what was typed is kept"
    over = browser.post(action, data=form | GRID | {"p.months": "1..600", "look": "yes"})
    assert "more than 500, the most that this service allows" in over.text
    wrong = browser.post(action, data=form | GRID | {"counted": "4", "concurrency_limit": "none"})
    assert (wrong.status_code, "should be a valid integer" in wrong.text) == (422, True)

    done = browser.post(action, data=form | GRID | {"counted": "4", "name": "October", "in_order": "yes"})
    assert done.status_code == 303, done.text
    [batch] = browser.get("/db/batches").json()
    assert (batch["total"], batch["name"], batch["in_order"]) == (4, "October", True)
    assert batch["plan"]["grid"] == {"months": [1, 2], "region": ["EMEA", "APAC"]}
    assert done.headers["Location"] == f"/batches/{batch['id']}?notice=batch"


def test_a_sample_is_drawn_by_the_same_form(browser: httpx.Client, number: int) -> None:
    sent = {"p.months": "1..100", "p.region": ["", "EMEA"], "way": "sobol", "count": "8", "seed": "7"}
    action = f"/notebooks/{number}/sweep"
    assert "Execute 8 times" in browser.post(action, data=sent | {"look": "yes"}).text
    for count in ("abc", "0"):
        wrong = browser.post(action, data=sent | {"count": count, "seed": "x", "counted": "0"})
        assert wrong.status_code == 422
        assert 'id="f-count-error"' in wrong.text
        assert 'id="f-seed-error"' in wrong.text, "all that is wrong is said at once"
    assert "from 1 to 100" in browser.post(action, data=sent | {"look": "yes"}).text
    assert browser.post(action, data=sent | {"counted": "8"}).status_code == 303
    [batch] = browser.get("/db/batches").json()
    assert (batch["source"], batch["plan"]["seed"], batch["total"]) == ("sample", 7, 8)
    rows = browser.get("/db/executions", params={"batch_id": batch["id"]}).json()
    assert {row["parameters_used"]["region"] for row in rows} == {"EMEA"}
    assert len({row["parameters_used"]["months"] for row in rows}) > 4


def test_a_batch_has_a_mark_for_each_execution_and_a_map_and_what_failed_is_repeated(
    browser: httpx.Client, number: int, plain: psycopg.Connection[Any]
) -> None:
    browser.post(f"/notebooks/{number}/sweep", data=GRID | {"counted": "4"})
    [batch] = browser.get("/db/batches").json()
    ids = [row["id"] for row in browser.get("/db/executions", params={"order": "oldest"}).json()]
    for place, one in enumerate(ids[:3]):
        ended(plain, one, "failed" if place == 1 else "success", f'{{"rmse": {place / 4}, "note": "x"}}')
    here = f"/batches/{batch['id']}"
    page = browser.get(here)
    assert re.findall(r'class="mark mark-(\w+)"', page.text) == ["success", "failed", "success", "pending"]
    assert "3 of 4 executions ended" in page.text
    assert re.findall(r'<td class="(heat-\w+)">', page.text) == ["heat-0", "heat-none", "heat-8", "heat-none"]
    assert ">0.5</a>" in page.text
    assert '<meta http-equiv="refresh"' in page.text, "it goes on without scripts"
    assert 'show=seconds#heat-head" aria-current' in browser.get(here, params={"show": "seconds"}).text
    assert f'href="{here}"' in browser.get("/batches").text

    again = browser.post(f"{here}/retry", data={})
    assert again.status_code == 303, again.text
    page = browser.get(again.headers["Location"])
    assert "It is executed again: this is the new batch." in page.text
    assert f'repeats <a id="repeats" href="{here}"' in page.text
    stopped = browser.post(f"{here}/cancel", data={})
    assert "Nothing of it starts any more" in browser.get(stopped.headers["Location"]).text
    assert browser.get("/batches/77").status_code == 404


@pytest.mark.parametrize("names", [("region", "months", "n"), ("n", "months", "region"), ("months", "n", "region")])
def test_the_cells_of_a_map_are_those_of_their_rows_and_columns_whatever_the_order_of_the_grid(
    browser: httpx.Client, notebook: Path, plain: psycopg.Connection[Any], names: tuple[str, ...]
) -> None:
    integer: dict[str, Any] = {"param_type": "integer", "default_value": 3}
    region: dict[str, Any] = {"param_name": "region", "param_type": "string", "default_value": "EMEA"}
    number = registered(browser, notebook, region, {"param_name": "months"} | integer, {"param_name": "n"} | integer)
    values: dict[str, list[Any]] = {"region": ["EMEA", "APAC"], "months": [1, 2, 3], "n": [7]}
    grid = {name: values[name] for name in names}
    made = browser.post("/db/batches", json={"notebook_id": number, "grid": grid})
    assert made.status_code == 201, made.text
    for row in browser.get("/db/executions").json():
        ended(plain, row["id"], results=f'{{"months": {row["parameters_used"]["months"]}}}')
    page = browser.get(f"/batches/{made.json()['id']}").text
    assert "months by region" in page
    heads = re.findall(r'<th scope="row">(\d)</th>(.*?)</tr>', page, re.DOTALL)
    assert [(head, re.findall(r">(\d)</a>", cells)) for head, cells in heads] == [(n, [n, n]) for n in "123"]


def grown(plain: psycopg.Connection[Any], batch_id: int, total: int) -> None:
    """More executions of a batch, like its first one; every thousandth of them has failed."""
    plain.execute(
        "INSERT INTO notebook_executions (notebook_id, username, input_path, parameters_used, status, batch_id, "
        "attempt, completed_at, batch_index) SELECT notebook_id, username, input_path, parameters_used, "
        "CASE WHEN place %% 1000 = 999 THEN 'failed' ELSE 'success' END, batch_id, 1, now(), place "
        "FROM notebook_executions, generate_series(1, %s) AS place WHERE batch_id = %s AND batch_index = 0",
        (total - 1, batch_id),
    )
    plain.execute("UPDATE batches SET total = %s, plan = '{}' WHERE id = %s", (total, batch_id))


def test_the_marks_of_a_large_batch_are_in_pages_that_stay_while_it_goes_on(
    browser: httpx.Client, number: int, plain: psycopg.Connection[Any]
) -> None:
    made = browser.post("/db/batches", json={"notebook_id": number, "sets": [{"months": 1}]}).json()
    here = f"/batches/{made['id']}"
    assert "pager" not in browser.get(here).text
    grown(plain, made["id"], 2500)

    def marks(page: str) -> list[tuple[str, str]]:
        return re.findall(r'<a class="mark mark-(\w+)"[^>]*title="(\d+): ', page)

    def pager(page: str) -> list[str]:
        return re.findall(r'id="pager-(\w+)" href="([^"]+)"', page)

    first = browser.get(here).text
    assert marks(first) == [("pending", "1"), *(("success", str(one)) for one in range(2, 1000)), ("failed", "1000")]
    assert "1 to 1000 of 2,500 executions" in first
    assert pager(first) == [("after", f"{here}?skip=1000")]
    last = browser.get(here, params={"skip": "2000"}).text
    assert [place for _, place in marks(last)] == [str(one) for one in range(2001, 2501)]
    assert "2001 to 2500 of 2,500 executions" in last
    assert pager(last) == [("before", f"{here}?skip=1000")]
    assert marks(browser.get(here, params={"skip": "999999"}).text) == marks(last), "there is none after the last"
    [again] = re.findall(r'hx-get="([^"]+)"', last)
    part = browser.get(again.replace("&amp;", "&"), headers={"HX-Request": "true", "HX-Target": "stands"}).text
    assert (marks(part), pager(part)) == (marks(last), pager(last))


def test_executions_are_compared_and_what_differs_stands_out(
    browser: httpx.Client, number: int, plain: psycopg.Connection[Any]
) -> None:
    here = f"/notebooks/{number}/compare"
    assert "Nothing to compare yet" in browser.get(here).text
    browser.post(f"/notebooks/{number}/sweep", data=GRID | {"p.region": ["", "EMEA"], "counted": "2"})
    ids = [row["id"] for row in browser.get("/db/executions", params={"order": "oldest"}).json()]
    for place, one in enumerate(ids):
        ended(plain, one, results=f'{{"rmse": {place + 0.25}, "a \\"b\\"": {place}, "same": 1}}')
    page = browser.get(here)
    heads = re.findall(r'<th class="differs number"[^>]*><a href="[^"]+">([^<]+)</a>', page.text)
    assert [each.replace("&#34;", '"') for each in heads] == ["months", 'a "b"', "rmse"]
    assert "2 columns are not shown, since all executions of this page have the same there" in page.text
    assert ">same</a>" in browser.get(here, params={"all": "yes"}).text

    def rows(**query: str) -> list[int]:
        found = browser.get(here, params=query)
        assert found.status_code == 200, found.text
        return [int(one) for one in re.findall(r'<tr data-row="(\d+)"', found.text)]

    assert rows() == ids[::-1]
    for sort in re.findall(r'href="[^"]*\?([^"]*sort=[^"]+)">', page.text):
        assert browser.get(f"{here}?{sort.replace('&amp;', '&')}").status_code == 200, sort
    assert rows(sort="results.rmse") == ids
    assert rows(where="results.rmse > 1") == [ids[1]]
    assert rows(executions=f"{ids[0]}", batch="1") == [ids[0]]
    chosen = browser.get(here, params={"executions": ids, "batch": "1"}).text
    [source] = re.findall(r'data-source="([^"]+)"', chosen)
    assert [row["id"] for row in browser.get(source.replace("&amp;", "&")).json()] == ids[::-1]
    wrong = browser.get(here, params={"where": "rmse <"})
    assert (wrong.status_code, "is no column" in wrong.text) == (422, True)
    csv = re.search(r'href="([^"]+format=csv)"', page.text)
    assert csv is not None
    assert "results.rmse" in browser.get(csv[1].replace("&amp;", "&")).text

    # Of two that were ticked, the older one is the one before, as a list has the newest first; a link says which is.
    two = browser.get("/difference", params={"executions": [str(each) for each in reversed(ids)]})
    assert two.status_code == 200, two.text
    turned = browser.get("/difference", params={"executions": f"{ids[1]},{ids[0]}"})
    assert "-1</td>" in turned.text
    assert "+1</td>" in two.text
    assert "The cells are not compared" in two.text, "neither wrote an output"
    one = browser.get("/difference", params={"executions": str(ids[0])})
    assert (one.status_code, "Choose two executions" in one.text) == (422, True)
