"""What an attempt tells is written as soon as it can be, and costs it nothing where it cannot."""

import logging
from pathlib import Path

import pytest

from line import Line, Other, until, working
from pressroom.executions import progress, service

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
REFUSE = """
CREATE SEQUENCE refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('refusals');  -- what a sequence has counted stays counted
    RAISE 'refused';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON execution_events FOR EACH ROW WHEN (NEW.kind = 'output')
EXECUTE FUNCTION refuse()
"""
OUTPUTS = "execution_events WHERE kind = 'output'"


async def test_what_could_not_be_written_is_written_later(
    line: Line, other: Other, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = home / "go-on"
    wait = f"import os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    write_notebook(home / "told.ipynb", "print('one')", wait)
    await other.execute(REFUSE)
    async with working(line) as work:
        [one] = await line.submit(notebook="told")

        async def refused() -> bool:
            return f"the progress of execution {one} cannot be written yet" in caplog.text

        async def written() -> bool:
            return await line.count(OUTPUTS) == 1

        with caplog.at_level(logging.ERROR, "pressroom.executions"):
            await until(refused)
        await other.execute("DROP TRIGGER refuse ON execution_events")
        await until(written)
        go_on.touch()
        assert await work.end() == one
    async with line.database.transaction() as session:
        assert (await service.get(session, one)).status == "success"


async def test_what_can_never_be_written_is_logged_once_and_the_execution_succeeds(
    line: Line, other: Other, home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_RETRY_SECONDS", 0.01)
    go_on = home / "go-on"
    wait = f"import os, time\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    write_notebook(home / "told.ipynb", "print('one')", wait)
    await other.execute(REFUSE)
    async with working(line) as work:
        with caplog.at_level(logging.WARNING, "pressroom.executions"):
            [one] = await line.submit(notebook="told", max_attempts=1)

            async def refused_often() -> bool:
                [count] = await (await other.execute("SELECT last_value FROM refusals")).fetchone() or [0]
                return count >= 5

            await until(refused_often)
            go_on.touch()
            assert await work.end() == one
    told = [record.getMessage() for record in caplog.records]
    assert told.count(f"the progress of execution {one} cannot be written yet") == 1
    async with line.database.transaction() as session:
        row = await service.get(session, one)
    assert (row.status, row.attempt) == ("success", 1)
    written = await line.count("execution_events WHERE kind NOT IN ('status', 'execution')")
    assert f"{6 - written} events of execution {one} are not written" in told
    assert await line.count(OUTPUTS) == 0
