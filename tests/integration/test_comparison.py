"""Executions beside each other, over HTTP: their results, the table in every format, and the difference of two."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import psycopg
import pyarrow.ipc
import pytest
from click.testing import Result
from sqlalchemy import URL
from typer.testing import CliRunner

from pressroom import AsyncClient, Client
from pressroom.cli.main import app
from pressroom.errors import NotFound
from pressroom.executions import comparison, differences
from pressroom.settings import Settings

Service = pytest.Service  # type: ignore[attr-defined]
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
RECORDS = """
import os
import pandas as pd
from IPython.display import display
def record(name, **value):
    display({"application/vnd.pressroom.result+json": {"name": name, **value}}, raw=True)
record("rmse", value=alpha / 2 if alpha < 3 else float("nan"))
record("label", value="=cmd()" if alpha == 1 else f"run {alpha}")
record("by region", table=pd.DataFrame({"region": ["=EMEA", "APAC"], "sum": [24, None]}).to_json(orient="split"))
record("page/1", image="PHN2Zy8+", media_type="image/svg+xml")
os.makedirs(os.environ["PRESSROOM_ARTIFACTS"] + "/charts")
with open(os.environ["PRESSROOM_ARTIFACTS"] + "/charts/a b.html", "w") as file:
    file.write("<script>1</script>")
with open(os.environ["PRESSROOM_ARTIFACTS"] + "/log.txt", "w") as file:
    file.write(str(alpha))
"""


@dataclass
class Room:
    """A service with a registered notebook that was executed three times, by ``alpha``."""

    http: httpx.Client
    notebook: int
    ids: list[int]
    path: Path
    connection: psycopg.Connection

    def compare(self, **query: Any) -> httpx.Response:
        answer = self.http.get(f"/db/notebooks/{self.notebook}/compare", params=query)
        assert answer.status_code == 200, answer.text
        return answer

    def ordered(self, **query: Any) -> list[int]:
        """Which executions there are, by their place in :attr:`ids`."""
        return [self.ids.index(row["id"]) for row in self.compare(**query).json()]


@pytest.fixture(scope="module")
def room(module_database_url: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    home = tmp_path_factory.mktemp("home")
    path = write_notebook(home / "ana" / "fit.ipynb", RECORDS, parameters="alpha = 0\nsettings = {}")
    settings = Settings(
        database_url=module_database_url.render_as_string(hide_password=False),
        users_root=home, local_user="ana", workers=1, preload=[],
    )  # fmt: skip
    text = module_database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        Service(settings) as service,
        httpx.Client(base_url=service.url, timeout=120) as http,
        psycopg.connect(text, autocommit=True) as connection,
    ):
        made = http.post("/db/notebooks", json={"name": "fit", "file_path": str(path), "username": "ana"}).json()
        kinds = {"alpha": "integer", "beta": "boolean", "settings": "json"}
        defined = [{"param_name": name, "param_type": kind} for name, kind in kinds.items()]
        answer = http.post(f"/db/parameters/bulk/{made['id']}", json=defined)
        assert answer.status_code == 201, answer.text
        ids = []
        for alpha in (1, 2, 3):
            given = {"alpha": alpha, "settings": {"layers": [alpha]}}
            done = http.post("/execute", json={"input_path": str(path), "parameters": given})
            assert done.status_code == 200, done.text
            ids.append(done.json()["execution_id"])
        yield Room(http, made["id"], ids, path, connection)


def test_results_are_listed_and_each_is_to_be_had_as_it_is(room: Room) -> None:
    at = f"/db/executions/{room.ids[0]}/results"
    found = {result["name"]: result for result in room.http.get(at).json()}
    assert {name: (each["kind"], each["value"]) for name, each in found.items()} == {
        "rmse": ("number", 0.5), "label": ("string", "=cmd()"), "by region": ("table", None), "page/1": ("image", None),
    }  # fmt: skip
    assert room.http.get(found["rmse"]["href"]).json() == 0.5
    image = room.http.get(found["page/1"]["href"])
    assert (image.content, image.headers["content-type"]) == (b"<svg/>", "image/svg+xml")
    assert image.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in image.headers["content-security-policy"]
    assert room.http.get(f"{at}/none").status_code == 404


def test_a_command_answers_a_result_itself(room: Room, module_database_url: URL, tmp_path: Path) -> None:
    url = module_database_url.render_as_string(hide_password=False)

    def pressroom(*words: str) -> Result:
        command = ["executions", "results", str(room.ids[0]), *words]
        return CliRunner().invoke(app, command, env={"DATABASE_URL": url, "PRESSROOM_LOCAL_USER": "ana"})

    assert pressroom("--name", "rmse").stdout_bytes == b"0.5\n"
    assert pressroom("--name", "page/1", "--output", str(tmp_path / "page.svg")).exit_code == 0
    assert (tmp_path / "page.svg").read_bytes() == b"<svg/>"
    assert "has recorded no result 'none'" in pressroom("--name", "none").stderr
    assert "goes with --name" in pressroom("--output", str(tmp_path / "none")).stderr


def test_a_table_is_answered_in_each_format(room: Room) -> None:
    at = f"/db/executions/{room.ids[0]}/results/by%20region"
    table = {"columns": ["region", "sum"], "data": [["=EMEA", 24.0], ["APAC", None]]}
    assert room.http.get(at).json() == table
    assert room.http.get(at, headers={"Accept": "text/csv"}).text == "region,sum\r\n'=EMEA,24.0\r\nAPAC,\r\n"
    wanted = pd.DataFrame(table["data"], columns=table["columns"])
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(room.http.get(f"{at}?format=parquet").content)), wanted)
    arrow = pyarrow.ipc.open_stream(room.http.get(f"{at}?format=arrow").content).read_pandas()
    pd.testing.assert_frame_equal(arrow, wanted)


def test_artifacts_are_listed_and_downloaded_and_nothing_else_is(room: Room) -> None:
    at = f"/db/executions/{room.ids[1]}/artifacts"
    page, text = room.http.get(at).json()
    assert (page["path"], page["size"], page["media_type"]) == ("charts/a b.html", 18, "text/html")
    got = room.http.get(page["href"])
    assert (got.content, got.headers["x-content-type-options"]) == (b"<script>1</script>", "nosniff")
    assert got.headers["content-disposition"].startswith("attachment")
    assert room.http.get(text["href"]).text == "2"
    for path in ("..%2F..%2Ffit.ipynb", "..%2Ffit.ipynb", "%2Fetc%2Fpasswd", "charts", "log.txt%00"):
        assert room.http.get(f"{at}/{path}").status_code in (404, 422), path
    [folder] = (room.path.parent / "executions").glob(f"*-{room.ids[1]}.artifacts")
    (folder / "log.txt").unlink()
    (folder / "log.txt").symlink_to("/etc/passwd")
    assert room.http.get(text["href"]).status_code == 404


def test_the_table_is_the_same_in_each_format(room: Room) -> None:
    answer = room.compare(sort="id")
    rows = answer.json()
    assert answer.headers["x-total-count"] == "3"
    assert [row["results.rmse"] for row in rows] == [0.5, 1.0, "NaN"]
    assert rows[0]["results.by region"]["kind"] == "table"
    assert room.http.get(rows[0]["results.by region"]["href"]).status_code == 200
    assert rows[0]["parameters.settings"] == '{"layers":[1]}'
    names = ["id", "status", "started_at", "seconds", "parameters.alpha", "parameters.settings", "results.label",
             "results.rmse"]  # fmt: skip
    parquet = pd.read_parquet(io.BytesIO(room.compare(sort="id", format="parquet").content))
    arrow = pyarrow.ipc.open_stream(room.compare(sort="id", format="arrow").content).read_pandas()
    csv = pd.read_csv(io.BytesIO(room.compare(sort="id", format="csv").content))
    for frame in (parquet, arrow, csv):
        assert list(frame.columns) == names
        assert frame["id"].tolist() == room.ids
        assert frame["parameters.alpha"].tolist() == [1, 2, 3]
        assert frame["results.rmse"].isna().tolist() == [False, False, True]
    assert (arrow["results.label"][0], csv["results.label"][0]) == ("=cmd()", "'=cmd()")
    assert str(arrow["started_at"].dtype).startswith("datetime64")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [2, 1, 0]),
        ({"sort": "results.rmse"}, [0, 1, 2]),
        ({"sort": "-results.rmse"}, [1, 0, 2]),
        ({"sort": "status,-parameters.alpha"}, [2, 1, 0]),
        ({"sort": "results.label"}, [0, 1, 2]),
        ({"where": "results.rmse<0.75"}, [0]),
        ({"where": "results.rmse > 0 and parameters.alpha!=1"}, [1]),
        ({"where": ["results.rmse >= 0.5", "status = success"]}, [1, 0]),
        ({"where": "results.rmse=null"}, [2]),
        ({"where": "results.none!=null"}, []),
        ({"where": "results.\"label\" = 'run 2'"}, [1]),
        ({"where": "parameters.alpha = '1'"}, []),
        ({"where": "parameters.alpha = true"}, []),
        ({"where": 'results.label = "\' OR 1=1 --"'}, []),
        ({"where": "started_at > 2020-01-01T00:00:00Z and seconds < 1000"}, [2, 1, 0]),
        ({"status": "failed"}, []),
        ({"batch": 7}, []),
        ({"sort": "id", "skip": 1, "limit": 1}, [1]),
    ],
)
def test_rows_are_filtered_and_sorted_by_what_they_hold(room: Room, query: dict[str, Any], expected: list[int]) -> None:
    assert room.ordered(**query) == expected


def test_named_executions_and_columns_are_those_of_the_table(room: Room) -> None:
    rows = room.compare(executions=f"{room.ids[0]},{room.ids[2]},999", columns="results.rmse,results.none").json()
    assert rows == [
        {"id": room.ids[2], "results.rmse": "NaN", "results.none": None},
        {"id": room.ids[0], "results.rmse": 0.5, "results.none": None},
    ]


@pytest.mark.parametrize(
    ("bound", "most", "status"),
    [("MOST_COLUMNS", 6, 422), ("MOST_CELLS", 20, 422), ("MOST_LINKS", 5, 422), ("MOST_BYTES", 100, 413)],
)
def test_a_page_of_too_much_is_refused_but_not_a_part_of_it(
    room: Room, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, status: int
) -> None:
    monkeypatch.setattr(comparison, bound, most)
    assert room.http.get(f"/db/notebooks/{room.notebook}/compare").status_code == status
    rows = room.compare(columns="id,results.rmse,results.page/1", sort="id", limit=2).json()
    assert [row["results.rmse"] for row in rows] == [0.5, 1.0]


def test_the_total_is_that_of_all_pages(room: Room) -> None:
    for skip, limit, where in ((0, 2, "id>0"), (2, 2, "id>0"), (9, 2, "id>0"), (0, 9, f"id>{room.ids[0]}")):
        answer = room.compare(skip=skip, limit=limit, where=where)
        assert answer.headers["x-total-count"] == ("3" if where == "id>0" else "2")


@pytest.mark.parametrize(
    "query",
    [{"where": "results.rmse"}, {"where": "rmse < 1"}, {"where": "results.a < 1 or results.b < 2"},
     {"where": "results.a < true"}, {"where": "id = x"}, {"sort": "results.a b"}, {"columns": "password"},
     {"executions": "1", "batch": 1}, {"executions": "x"}, {"format": "xlsx"}],
)  # fmt: skip
def test_what_is_not_understood_is_refused(room: Room, query: dict[str, Any]) -> None:
    answer = room.http.get(f"/db/notebooks/{room.notebook}/compare", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), answer.text


def test_two_executions_differ_in_parameters_results_and_cells(room: Room) -> None:
    source = room.path.read_text()
    room.path.write_text(source.replace("import os\\n", "import os, sys\\n"))
    given = {"alpha": 2, "beta": True, "settings": {"layers": [1]}}
    fourth = room.http.post("/run-notebook", json={"input_path": str(room.path), "params": given}).json()
    room.path.write_text(source)
    answer = room.http.get(f"/db/executions/{room.ids[0]}/diff", params={"with": fourth["execution_id"]})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    changes = {each["name"]: (each["change"], each["difference"]) for each in found["parameters"]}
    assert changes == {"alpha": ("changed", 1), "beta": ("added", None)}
    assert {each["name"]: each["difference"] for each in found["results"]} == {"rmse": 0.5, "label": None}
    [cell] = found["cells"]
    assert cell["change"] == "changed"
    assert "-import os\n+import os, sys\n" in cell["diff"]
    room.connection.execute("DELETE FROM notebook_executions WHERE id = %s", (fourth["execution_id"],))


def test_of_large_outputs_all_but_the_cells_is_compared(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "MOST_BYTES", 1000)
    found = room.http.get(f"/db/executions/{room.ids[0]}/diff", params={"with": room.ids[1]}).json()
    assert (found["cells"], len(found["results"])) == (None, 2)
    assert "is larger than" in found["cells_unavailable"]


async def test_both_clients_have_it_as_data_frames_and_files(room: Room, tmp_path: Path) -> None:
    url, one = str(room.http.base_url), room.ids[0]
    async with AsyncClient(url, timeout=60) as client:
        theirs = await client.compare(room.notebook, executions=room.ids, sort="id", where="results.rmse > 0")
        file = await client.download_artifact(one, "charts/a b.html", tmp_path / "page.html")
        differences = await client.diff(one, room.ids[1])
        with pytest.raises(NotFound):
            await client.download_artifact(one, "none", tmp_path / "none")
    with Client(url, timeout=60) as client:
        ours = client.compare(room.notebook, executions=room.ids, sort="id", where="results.rmse > 0")
        kinds = {result.name: result.kind for result in client.results(one)}
        assert client.result(one, "by region", "csv").startswith(b"region,sum")
        assert client.download_artifact(one, "log.txt", tmp_path / "log.txt").read_text() == "1"
    pd.testing.assert_frame_equal(ours, theirs)
    assert ours["results.rmse"].tolist() == [0.5, 1.0]
    assert kinds == {"rmse": "number", "label": "string", "by region": "table", "page/1": "image"}
    assert file.read_text() == "<script>1</script>"
    assert not (tmp_path / "none").exists()
    assert differences.cells == []
