"""What a notebook records by real kernels, and what of it the database keeps at the end of the attempt."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from line import Line, Other, working

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n")
OURS = f"""
from IPython.display import display, update_display
RESULT = "application/vnd.pressroom.result+json"
display({{RESULT: {{"name": "rmse", "value": 0.5}}}}, raw=True, display_id="rmse")
update_display({{RESULT: {{"name": "rmse", "value": 0.25}}}}, raw=True, display_id="rmse")
display({{RESULT: {{"name": "best", "value": float("nan")}}}}, raw=True)
display({{RESULT: {{"name": "roc", "image": {PNG.decode()!r}}}}}, raw=True)
display({{RESULT: {{"name": "model", "value": {{"layers": [3, 4]}}}}}}, raw=True)
display({{RESULT: {{"name": "rows", "value": ["x" * 4_000_000]}}}}, raw=True)
display({{RESULT: {{"name": "too large", "value": ["x" * 6_000_000]}}}}, raw=True)
"""
SCRAPBOOK = """
import pandas, scrapbook
scrapbook.glue("region", "EMEA")
scrapbook.glue("months", 12)
scrapbook.glue("by month", pandas.DataFrame({"month": [1, 2], "sum": [1.5, None]}), display=True)
"""
RECORD = 'display({"application/papermill.record+json": {"old": True}}, raw=True)'


async def recorded(other: Other, execution_id: int) -> tuple[dict[str, Any], dict[str, tuple[str, str, bytes]]]:
    """The results in the row, and the others."""
    small = await (
        await other.execute("SELECT results FROM notebook_executions WHERE id = %s", (execution_id,))
    ).fetchone()
    wanted = "SELECT name, kind, media_type, data FROM execution_results WHERE execution_id = %s"
    large = await (await other.execute(wanted, (execution_id,))).fetchall()
    assert small is not None
    return small[0], {name: (kind, media_type, data) for name, kind, media_type, data in large}


async def test_what_a_notebook_records_in_each_way_is_kept_by_name(line: Line, other: Other, home: Path) -> None:
    write_notebook(home / "made.ipynb", OURS, SCRAPBOOK, RECORD)
    async with working(line) as work:
        [one] = await line.submit(notebook="made")
        assert await work.end(60) == one
    small, large = await recorded(other, one)
    assert small == {"rmse": 0.25, "best": "NaN", "region": "EMEA", "months": 12, "old": True}
    kinds = {name: (kind, media_type) for name, (kind, media_type, _) in large.items()}
    assert kinds == {
        "roc": ("image", "image/png"),
        "model": ("json", "application/json"),
        "rows": ("json", "application/json"),
        "by month": ("table", "application/vnd.apache.parquet"),
    }
    assert large["roc"][2] == base64.b64decode(PNG)
    assert json.loads(large["rows"][2]) == ["x" * 4_000_000]
    wanted = "SELECT data ->> 'text' FROM execution_events WHERE execution_id = %s AND kind = 'output'"
    said = [row[0] for row in await (await other.execute(wanted, (one,))).fetchall()]
    assert any("'too large' is not kept: it has 5.72 MiB, and one may have 5" in text for text in said)


FAILS_FIRST = """
import os
from IPython.display import display
attempt, folder = int(os.environ["PRESSROOM_ATTEMPT"]), os.environ["PRESSROOM_ARTIFACTS"]
assert os.listdir(folder) == []
display({"application/vnd.pressroom.result+json": {"name": f"of attempt {attempt}", "value": attempt}}, raw=True)
os.makedirs(f"{folder}/deep/er")
with open(f"{folder}/deep/er/{attempt}.csv", "w") as file:
    file.write("a,b")
os.symlink("/etc", f"{folder}/etc")
raise ValueError(attempt)
"""


async def test_the_last_attempt_is_kept_with_what_it_recorded_also_where_it_failed(
    line: Line, other: Other, home: Path
) -> None:
    write_notebook(home / "fails.ipynb", FAILS_FIRST)
    async with working(line) as work:
        how = {"max_attempts": 2, "retry_on": ["any_failure"], "retry_delay_seconds": 0}
        [one] = await line.submit(notebook="fails", **how)
        assert [await work.end(60), await work.end(60)] == [one, one]
    assert (await recorded(other, one))[0] == {"of attempt 2": 2}
    files = await (
        await other.execute("SELECT path, size, media_type FROM execution_artifacts WHERE execution_id = %s", (one,))
    ).fetchall()
    assert files == [("deep/er/2.csv", 3, "text/csv")]
    [kept] = (home / "executions").glob("*.artifacts")
    assert kept.name.endswith(f"-{one}-2.artifacts")
    assert (kept / "deep/er/2.csv").read_text() == "a,b"


async def test_an_execution_that_leaves_no_artifacts_leaves_no_folder(line: Line, other: Other, home: Path) -> None:
    write_notebook(home / "plain.ipynb", "import os; os.mkdir(os.environ['PRESSROOM_ARTIFACTS'] + '/empty')")
    async with working(line) as work:
        [one] = await line.submit(notebook="plain")
        assert await work.end(60) == one
    assert await recorded(other, one) == (None, {})
    assert [path.suffix for path in (home / "executions").iterdir()] == [".ipynb"]
