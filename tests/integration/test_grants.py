"""What others may do with a notebook: see it, execute it, change it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, select
from typer.testing import CliRunner

import pressroom
from pressroom.cli.main import app
from pressroom.database.models import Execution, Notebook
from pressroom.errors import NotAllowed, NotFound, PathNotAllowed, PressroomError
from pressroom.executions import access, history, history_search, service, staff
from pressroom.executions.history import History
from pressroom.executions.orders import Order, repeated
from pressroom.identity.policy import Viewer, viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import grants, levels
from pressroom.notebooks import service as notebooks
from pressroom.notebooks.grant_schemas import GranteeKind
from pressroom.notebooks.places import Places

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ANA = Principal.person("ana", source="test")
BO = Principal.person("bo", groups=["finance", "all"], source="test")
CY = Principal.person("cy", source="test")
BOSS = Principal.person("boss", roles=["admin"], source="test")
MACHINE = Principal("hub", frozenset(), frozenset(), frozenset({"read", "execute", "act"}), "test")


@dataclass
class Desk:
    """`ana`'s notebook in a shared folder and one in her directory, and the queue."""

    line: Any
    shared: int
    own: int
    path: Path

    def session(self) -> Any:
        return self.line.database.transaction()

    async def grant(self, level: str, to: str = "bo", kind: str = "user") -> None:
        async with self.session() as session:
            for notebook_id in (self.shared, self.own):
                await grants.grant(session, ANA, notebook_id, GranteeKind(kind), to, Level(level))

    async def run_as(self, whom: str) -> None:
        async with self.session() as session:
            for notebook_id in (self.shared, self.own):
                row = await session.get(Notebook, notebook_id)
                row.run_as = whom

    async def submit(self, principal: Principal, **order: Any) -> Execution:
        async with self.session() as session:
            [made] = await service.submit(session, self.line.intake, principal, [Order(parameters={}, **order)])
            return await service.get(session, made)

    async def seen(self, principal: Principal, **wanted: Any) -> tuple[list[int], int | None]:
        async with self.session() as session:
            page = await history.page(session, History(seen_by=viewer(principal), **wanted), 0, 100)
        return [row["id"] for row in json.loads(page.body)], page.total


@pytest.fixture
async def desk(line: Any, home: Path) -> Desk:
    shared = write_notebook(home.parent.parent / "shared" / "sales.ipynb", "1")
    own = write_notebook(home / "own.ipynb", "1")
    (home.parent / "bo").mkdir()
    async with line.database.transaction() as session:
        made = [
            Notebook(name=path.stem, file_path=str(path), username="ana", tags=[], metadata_={})
            for path in (shared, own)
        ]
        session.add_all(made)
    line.intake = replace(line.intake, places=Places(home.parent, (shared.parent,)))
    return Desk(line, made[0].id, made[1].id, shared)


@pytest.mark.parametrize(("kind", "to"), [("user", "bo"), ("group", "finance")])
async def test_a_grant_shows_a_notebook_and_its_executions_until_it_is_taken_back(
    desk: Desk, kind: str, to: str
) -> None:
    execution = await desk.submit(ANA, notebook_id=desk.own)
    assert await desk.seen(BO) == ([], 0)
    await desk.grant("viewer", to, kind)
    assert await desk.seen(BO) == ([execution.id], 1)
    assert await desk.seen(CY) == ([], 0)
    async with desk.session() as session:
        assert (await levels.require(session, BO, desk.own, Level.VIEWER)).id == desk.own
        assert (await access.seen(session, BO, execution.id)).id == execution.id
        await grants.revoke(session, ANA, desk.own, GranteeKind(kind), to)
    assert await desk.seen(BO) == ([], 0)
    async with desk.session() as session:
        for attempt in (
            levels.require(session, BO, desk.own, Level.VIEWER),
            access.seen(session, BO, execution.id),
            history.one(session, viewer(BO), execution.id),
            history.version(session, viewer(BO), execution.id),
            service.attempts(session, BO, execution.id),
            service.cancel(session, desk.line.intake, BO, execution.id),
            service.retry(session, desk.line.intake, BO, execution.id),
            grants.of_notebook(session, BO, desk.own),
        ):
            with pytest.raises(NotFound):
                await attempt


async def test_a_user_of_the_name_of_a_group_is_not_the_group(desk: Desk) -> None:
    await desk.grant("viewer", "bo", "group")
    await desk.grant("viewer", "finance", "user")
    async with desk.session() as session:
        with pytest.raises(NotFound):
            await levels.require(session, BO, desk.own, Level.VIEWER)


async def test_lists_and_totals_hold_only_what_the_caller_may_see(desk: Desk) -> None:
    mine = await desk.submit(BO, input_path=str(desk.path), username="bo")
    hers = [await desk.submit(ANA, notebook_id=desk.own) for _ in range(3)]
    assert mine.notebook_id is None, "what is registered there is not his to see"
    assert await desk.seen(BO) == ([mine.id], 1)
    assert await desk.seen(BO, username="ana") == ([], 0)
    assert await desk.seen(BO, notebook_id=desk.own) == ([], 0)
    assert await desk.seen(BO, statuses=("pending",)) == ([mine.id], 1)
    assert await desk.seen(BO, queue="default") == ([mine.id], 1)
    assert await desk.seen(BO, parameters=(("x", "1"),)) == ([], 0)
    for principal in (BOSS, MACHINE):
        assert (await desk.seen(principal))[1] == 4
    async with desk.session() as session:
        assert (await notebooks.page(session, viewer(BO), None, None, 0, 100))[1:] == (0, 0)
        assert (await notebooks.page(session, viewer(ANA), None, None, 0, 1))[1:] == (1, 2)
        assert [queue.waiting for queue in await staff.queues(session, viewer(BO))] == [1]
        assert [queue.waiting for queue in await staff.queues(session, None)] == [4]
    await desk.grant("viewer", "all", "group")
    await desk.grant("viewer")
    everything = [each.id for each in reversed([mine, *hers])]
    assert await desk.seen(BO) == (everything, 4), "each once, though two grants show it"
    assert await desk.seen(BO, oldest=True) == (everything[::-1], 4)
    assert await desk.seen(BO, statuses=("pending",), notebook_id=desk.own) == (everything[:3], 3)
    async with desk.session() as session:
        assert (await notebooks.page(session, viewer(BO), None, None, 0, 1))[1:] == (1, 2)
        assert [queue.waiting for queue in await staff.queues(session, viewer(BO))] == [4]


async def test_a_viewer_executes_nothing_and_a_runner_changes_nothing(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.submit(BO, notebook_id=desk.shared)
    await desk.grant("viewer")
    with pytest.raises(NotAllowed, match="needs runner"):
        await desk.submit(BO, notebook_id=desk.shared)
    await desk.grant("runner")
    execution = await desk.submit(BO, notebook_id=desk.shared)
    assert (execution.username, execution.submitted_by, execution.notebook_id) == ("bo", "bo", desk.shared)
    async with desk.session() as session:
        with pytest.raises(NotAllowed, match="needs editor"):
            await levels.require(session, BO, desk.shared, Level.EDITOR)
        with pytest.raises(NotAllowed, match="needs owner"):
            await grants.of_notebook(session, BO, desk.shared)


async def test_as_whom_a_runner_executes_is_said_by_the_notebook(desk: Desk) -> None:
    await desk.grant("runner")
    with pytest.raises(NotAllowed, match="may not act for ana"):
        await desk.submit(BO, notebook_id=desk.shared, username="ana")
    with pytest.raises(PathNotAllowed):  # it lies in the directory of another, where bo may not read
        await desk.submit(BO, notebook_id=desk.own)
    await desk.run_as("owner")
    for order in (
        {"notebook_id": desk.own},
        {"notebook_id": desk.own, "username": "ana"},
        {"input_path": str(desk.path)},
        {"input_path": str(desk.path.parent.parent / "home" / "ana" / "own.ipynb")},
    ):
        execution = await desk.submit(BO, **order)
        assert (execution.username, execution.submitted_by) == ("ana", "bo"), order
        async with desk.session() as session:
            cancelled, _ = await service.cancel(session, desk.line.intake, BO, execution.id)
            assert cancelled.status == "cancelled", "who started it may stop it"
    async with desk.session() as session:
        again = await service.retry(session, desk.line.intake, BO, execution.id)
        assert (again.username, again.submitted_by) == ("ana", "bo")
    with pytest.raises(NotAllowed, match="may not act for cy"):
        await desk.submit(BO, notebook_id=desk.own, username="cy")


@pytest.mark.parametrize("chosen", [{"in_place": True}, {"output_path": "diary.ipynb"}])
async def test_whoever_acts_as_an_owner_by_a_grant_overwrites_nothing(desk: Desk, chosen: dict[str, Any]) -> None:
    await desk.grant("editor")
    await desk.run_as("owner")
    with pytest.raises(NotAllowed, match="cannot be chosen"):
        await desk.submit(BO, notebook_id=desk.own, **chosen)
    hers = await desk.submit(ANA, notebook_id=desk.own, **chosen)
    async with desk.session() as session:
        await service.cancel(session, desk.line.intake, ANA, hers.id)
        with pytest.raises(NotAllowed, match="cannot be chosen"):
            await service.submit(session, desk.line.intake, BO, [repeated(hers)])


async def test_a_file_of_anothers_directory_tells_nothing_of_what_is_registered(desk: Desk, home: Path) -> None:
    write_notebook(home / "unregistered.ipynb", "1")
    said = []
    for name in ("own.ipynb", "unregistered.ipynb", "missing.ipynb"):
        for username in (None, "ana"):
            with pytest.raises(PressroomError) as refused:
                await desk.submit(BO, input_path=str(home / name), username=username)
            said.append((refused.value.status, refused.value.detail))
    assert set(said) == {(403, "bo may not act for ana.")}


async def test_an_editor_says_what_a_notebook_is_and_not_whose(desk: Desk) -> None:
    places = desk.line.intake.places
    await desk.grant("editor")
    async with desk.session() as session:
        changed = await notebooks.change(session, places, 10**6, BO, desk.shared, {"description": "Sales."})
        assert changed.description == "Sales."
        for change in ({"username": "bo"}, {"file_path": "x.ipynb"}, {"run_as": "owner"}):
            with pytest.raises(NotAllowed, match="needs owner"):
                await notebooks.change(session, places, 10**6, BO, desk.shared, change)
        with pytest.raises(NotAllowed, match="needs owner"):
            await notebooks.delete(session, BO, desk.shared)
        with pytest.raises(NotAllowed, match="may not act for bo"):
            await notebooks.change(session, places, 10**6, ANA, desk.shared, {"username": "bo"})


async def test_an_editor_cancels_the_executions_of_a_notebook_and_a_viewer_does_not(desk: Desk) -> None:
    execution = await desk.submit(ANA, notebook_id=desk.own)
    for level in ("viewer", "runner"):
        await desk.grant(level)
        async with desk.session() as session:
            with pytest.raises(NotAllowed, match="needs editor"):
                await service.cancel(session, desk.line.intake, BO, execution.id)
    await desk.grant("editor")
    async with desk.session() as session:
        cancelled, _ = await service.cancel(session, desk.line.intake, BO, execution.id)
    assert cancelled.error_message == "It was cancelled by bo before it started."


async def test_whoever_acts_for_others_is_written_down(desk: Desk) -> None:
    for principal in (BOSS, MACHINE):
        execution = await desk.submit(principal, notebook_id=desk.own)
        assert (execution.username, execution.submitted_by) == ("ana", principal.username)
    with pytest.raises(NotAllowed, match="may not act for ana"):
        await desk.submit(CY, input_path=str(desk.path), username="ana")


async def test_the_grants_of_a_notebook_go_with_it(desk: Desk) -> None:
    await desk.grant("viewer")
    async with desk.session() as session:
        assert [row.grantee for row in await grants.of_notebook(session, ANA, desk.own)] == ["bo"]
        await notebooks.delete(session, ANA, desk.own)
    async with desk.session() as session:
        assert await session.scalar(select(Notebook.id).where(Notebook.id == desk.own)) is None
        with pytest.raises(NotFound):
            await grants.of_notebook(session, ANA, desk.own)


def test_whoever_sees_everything_is_asked_no_grants() -> None:
    """Their statements are what they were before there were grants."""
    for seen_by, asked in ((None, False), (viewer(BO), True)):
        wanted = [
            history_search.ordered(History(seen_by=seen_by), 0, 10),
            *history.versions_of_page(History(seen_by=seen_by), 0, 10),
            *notebooks.versions_of_page(seen_by, None, None, 0, 10),
            notebooks.versions_of_one(seen_by, 1)[0],
        ]
        assert {"notebook_grants" in str(statement) for statement in wanted} == {asked}


def test_callers_share_a_view_only_where_it_is_the_same() -> None:
    assert viewer(BOSS) is None
    assert viewer(MACHINE) is None
    assert viewer(BO) == Viewer("bo", frozenset({"finance", "all"})) != viewer(ANA)


def test_a_group_within_a_group_is_granted_over_http(service: Any, notebook: Path) -> None:
    with pressroom.Client(service.url) as client:
        registered = client.register("sales", notebook, "ana")
        made = client.grant(registered.id, "viewer", group="finance/emea")
        assert (made.kind, made.grantee, made.level) == ("group", "finance/emea", "viewer")
        assert client.grant(registered.id, "editor", group="finance/emea").level == "editor"
        assert [each.level for each in client.grants(registered.id)] == ["editor"]
        for wrong in ({}, {"user": "bo", "group": "all"}):
            with pytest.raises(ValueError, match="either user or group"):
                client.revoke(registered.id, **wrong)
        client.revoke(registered.id, group="finance/emea")
        with pytest.raises(NotFound, match="group finance/emea"):
            client.revoke(registered.id, group="finance/emea")
        assert client.grants(registered.id) == []


def test_grants_on_the_command_line(database_url: URL, notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("PRESSROOM_LOCAL_USER", "ana")
    monkeypatch.setenv("PRESSROOM_USERS_ROOT", str(notebook.parent.parent))
    run = CliRunner()
    assert run.invoke(app, ["notebooks", "add", str(notebook)]).exit_code == 0
    made = run.invoke(app, ["notebooks", "grant", "1", "runner", "--user", "bo", "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["level"] == "runner"
    assert run.invoke(app, ["notebooks", "grant", "1", "owner", "--user", "bo"]).exit_code == 2
    assert run.invoke(app, ["notebooks", "grant", "1", "viewer"]).exit_code == 2
    listed = run.invoke(app, ["notebooks", "grants", "1", "--json"])
    assert [(row["kind"], row["grantee"]) for row in json.loads(listed.stdout)] == [("user", "bo")]
    assert run.invoke(app, ["notebooks", "revoke", "1", "--user", "bo"]).exit_code == 0
    assert run.invoke(app, ["notebooks", "revoke", "1", "--user", "bo"]).exit_code == 2
