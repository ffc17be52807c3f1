"""Every endpoint, asked by every kind of caller: what the table of rights says is what happens.

The cases are made from the endpoints' own signatures. Each begins with a notebook, an execution and so on of its own,
all of which are `ana`'s, who executes the notebook as herself whoever starts it.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg import sql
from sqlalchemy import URL

from pressroom.api import READING
from pressroom.app import create_app
from pressroom.database.shared_read import SharedReads
from pressroom.identity import strangers
from pressroom.identity.authentication import Authentication
from pressroom.identity.cookies import csrf_token
from pressroom.identity.principal import with_implied
from pressroom.identity.rights import ACTING, Level, Right
from pressroom.identity.sessions import Sessions
from pressroom.identity.tokens import TokenSource
from pressroom.rights_table import Endpoint, endpoints
from pressroom.settings import Settings
from pressroom.web.assets import ASSETS

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]
ASYNC = {"Prefer": "respond-async"}
PERSON = ("read", "execute", "write")


@dataclass(frozen=True)
class Kind:
    """A kind of caller. ``held``: the level on `ana`'s notebook; ``everybody``: may act for others; ``browser``: has a
    session and no token."""

    username: str = "ana"
    scopes: tuple[str, ...] = ()
    held: Level | None = None
    admin: bool = False
    everybody: bool = False
    unknown: bool = False
    browser: bool = False


KINDS = {
    "no identity": Kind(unknown=True),
    "a wrong token": Kind(unknown=True),
    "an expired token": Kind("ana", ("admin",), unknown=True),
    "a revoked token": Kind("ana", ("admin",), unknown=True),
    "another user": Kind("otto", PERSON),
    "a viewer": Kind("vera", PERSON, Level.VIEWER),
    "a viewer by a group": Kind("gus", PERSON, Level.VIEWER),
    "a runner": Kind("rita", PERSON, Level.RUNNER),
    "an editor": Kind("emil", PERSON, Level.EDITOR),
    "the owner": Kind("ana", PERSON, Level.OWNER),
    "the owner, to read": Kind("ana", ("read",), Level.OWNER),
    "the owner, to execute": Kind("ana", ("execute",), Level.OWNER),
    "the owner, to write": Kind("ana", ("write",), Level.OWNER),
    "a service": Kind("hub", (*PERSON, "act"), Level.OWNER, everybody=True),
    "an administrator": Kind("boss", ("admin",), Level.OWNER, admin=True, everybody=True),
    "a session that has ended": Kind("boss", ("admin",), unknown=True, browser=True),
    "a viewer's session": Kind("vera", PERSON, Level.VIEWER, browser=True),
    "an administrator's session": Kind("boss", ("admin",), Level.OWNER, admin=True, everybody=True, browser=True),
}


@dataclass(frozen=True)
class Ask:
    """How an endpoint is asked. ``names``: a notebook that the caller must see, whatever else is needed; ``made``: a
    thing that is its maker's and an administrator's; ``admins``: what a token does only for administrators;
    ``browsers``: what is for a session alone, and not valid else; ``nothing``: what these settings have not;
    ``output``: the execution has left one."""

    path: str
    json: Any = None
    query: dict[str, Any] | None = None
    upload: bool = False
    table: bool = False
    names: bool = False
    made: bool = False
    admins: bool = False
    browsers: bool = False
    nothing: bool = False
    output: bool = False
    form: dict[str, str] | None = None


ASKS = {
    "root": Ask("/"),
    "health": Ask("/health"),
    "metrics": Ask("/metrics"),
    "openapi": Ask("/openapi.json"),
    "show_the_docs": Ask("/docs"),
    "redoc_html": Ask("/redoc"),
    "static-offline-docs": Ask("/static-offline-docs/swagger-ui.css"),
    "explain_a_problem": Ask("/problems/not-found"),
    "register_a_notebook": Ask("/db/notebooks", {"name": "{key}", "file_path": "{free}", "username": "ana"}),
    "list_notebooks": Ask("/db/notebooks"),
    "list_notebooks_of_a_user": Ask("/db/notebooks/user/ana"),
    "read_a_notebook": Ask("/db/notebooks/{notebook}"),
    "change_a_notebook": Ask("/db/notebooks/{notebook}", {"description": "Sales."}),
    "delete_a_notebook": Ask("/db/notebooks/{notebook}"),
    "list_grants": Ask("/db/notebooks/{notebook}/grants"),
    "grant_a_notebook": Ask("/db/notebooks/{notebook}/grants/user/dora", {"level": "editor"}),
    "revoke_a_grant": Ask("/db/notebooks/{notebook}/grants/user/dora"),
    "read_the_schema": Ask("/db/notebooks/{notebook}/schema"),
    "define_a_parameter": Ask(
        "/db/parameters", {"notebook_id": "{notebook}", "param_name": "other", "param_type": "integer"}
    ),
    "define_several_parameters": Ask(
        "/db/parameters/bulk/{notebook}", [{"param_name": "other", "param_type": "integer"}]
    ),
    "propose_parameters": Ask("/db/parameters/infer/{notebook}"),
    "list_parameters": Ask("/db/parameters/notebook/{notebook}"),
    "read_a_parameter": Ask("/db/parameters/{parameter}"),
    "change_a_parameter": Ask("/db/parameters/{parameter}", {"description": "The month."}),
    "delete_a_parameter": Ask("/db/parameters/{parameter}"),
    "run_a_notebook": Ask("/run-notebook", {"input_path": "{own}", "username": "ana"}),
    "execute_a_notebook": Ask("/execute-notebook", {"input_path": "{own}", "username": "ana"}),
    "execute_as_a_user": Ask("/execute", {"input_path": "{own}", "username": "ana"}),
    "execute_a_registered_notebook": Ask("/db/notebooks/{notebook}/executions", {}),
    "submit_many_executions": Ask("/db/executions/bulk", {"executions": [{"input_path": "{own}", "username": "ana"}]}),
    "cancel_an_execution": Ask("/db/executions/{pending}/cancel"),
    "execute_again": Ask("/db/executions/{ended}/retry"),
    "list_attempts": Ask("/db/executions/{ended}/attempts"),
    "list_executions": Ask("/db/executions"),
    "head_of_executions": Ask("/db/executions"),
    "list_executions_of_a_notebook": Ask("/db/executions/notebook/{notebook}"),
    "read_an_execution": Ask("/db/executions/{ended}"),
    "head_of_an_execution": Ask("/db/executions/{ended}"),
    "follow_an_execution": Ask("/db/executions/{ended}/events"),
    "read_the_log": Ask("/db/executions/{ended}/log"),
    "download_the_output": Ask("/db/executions/{ended}/notebook"),
    "read_the_output": Ask("/db/executions/{ended}/html"),
    "begin_a_batch": Ask("/db/batches", {"notebook_id": "{notebook}", "sets": [{}]}),
    "begin_a_batch_of_a_file": Ask("/db/batches/upload", upload=True, table=True),
    "list_batches": Ask("/db/batches"),
    "read_a_batch": Ask("/db/batches/{batch}"),
    "follow_a_batch": Ask("/db/batches/{ended_batch}/events"),
    "cancel_a_batch": Ask("/db/batches/{batch}/cancel"),
    "repeat_a_batch": Ask("/db/batches/{ended_batch}/retry"),
    "list_results": Ask("/db/executions/{ended}/results"),
    "read_a_result": Ask("/db/executions/{ended}/results/rmse"),
    "list_artifacts": Ask("/db/executions/{ended}/artifacts"),
    "download_an_artifact": Ask("/db/executions/{ended}/artifacts/charts/sales.png"),
    "compare_executions": Ask("/db/notebooks/{notebook}/compare"),
    "compare_two_executions": Ask("/db/executions/{ended}/diff", query={"with": "{ended}"}),
    "add_a_schedule": Ask(
        "/db/schedules",
        {"notebook_id": "{notebook}", "name": "{key}", "cron": "@daily", "username": "ana"},
        names=True,
    ),
    "list_schedules": Ask("/db/schedules"),
    "preview_a_schedule": Ask("/db/schedules/preview", query={"cron": "@daily"}),
    "read_a_schedule": Ask("/db/schedules/{schedule}"),
    "change_a_schedule": Ask("/db/schedules/{schedule}", {"description": "Sales."}, names=True),
    "delete_a_schedule": Ask("/db/schedules/{schedule}", names=True),
    "pause_a_schedule": Ask("/db/schedules/{schedule}/pause", names=True),
    "resume_a_schedule": Ask("/db/schedules/{schedule}/resume", names=True),
    "run_a_schedule": Ask("/db/schedules/{schedule}/run", names=True),
    "list_ticks_of_a_schedule": Ask("/db/schedules/{schedule}/ticks"),
    "backfill_a_schedule": Ask(
        "/db/schedules/{schedule}/backfill",
        {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T12:00:00Z"},
        names=True,
    ),
    "add_a_notification": Ask(
        "/db/notifications",
        {
            "notebook_id": "{notebook}",
            "channel": "webhook",
            "target": "https://example.com/",
            "events": ["execution.failed"],
        },
    ),
    "list_notifications": Ask("/db/notifications"),
    "read_a_notification": Ask("/db/notifications/{notification}", made=True),
    "change_a_notification": Ask("/db/notifications/{notification}", {"events": ["execution.late"]}, made=True),
    "delete_a_notification": Ask("/db/notifications/{notification}", made=True),
    "list_deliveries_of_a_notification": Ask("/db/notifications/{notification}/deliveries", made=True),
    "make_a_token": Ask("/db/tokens", {"scopes": ["read"]}, admins=True),
    "list_tokens": Ask("/db/tokens"),
    "revoke_a_token": Ask("/db/tokens/{token}", made=True),
    "read_the_session": Ask("/session"),
    "sign_out": Ask("/logout", browsers=True),
    "begin_to_sign_in": Ask("/login", nothing=True),
    "finish_signing_in": Ask("/login/callback", nothing=True),
    "finish_signing_in_at_the_hub": Ask("/oauth_callback", nothing=True),
    "sign_out_by_the_issuer": Ask("/logout/backchannel", form={"logout_token": "a.b.c"}, nothing=True),
    "read_the_audit": Ask("/db/audit"),
    "list_workers": Ask("/db/workers"),
    "list_queues": Ask("/db/queues"),
    "list_kernels": Ask("/kernels"),
    "list_notebook_files": Ask("/list-notebooks/ana"),
    "upload_a_notebook": Ask("/upload-notebook", upload=True),
    "copy_a_notebook": Ask(
        "/copy-notebook",
        {"notebook_id": "{notebook}", "username": "ana", "file_path": "{key}.ipynb", "name": "copy {key}"},
        names=True,
    ),
    "make_a_notebook_from_a_template": Ask(
        "/create-from-template",
        {"notebook_id": "{notebook}", "username": "ana", "file_path": "{key}.ipynb", "name": "copy {key}"},
        names=True,
    ),
    "download_a_notebook": Ask("/download-notebook", query={"path": "{own}", "username": "ana"}),
    "read_an_asset": Ask(f"/assets/{ASSETS['pressroom.css'].name}"),
    "show_home": Ask("/home"),
    "show_components": Ask("/ui"),
    "choose_appearance": Ask("/appearance"),
    "sign_out_from_a_page": Ask("/sign-out", browsers=True),
    "show_notebooks": Ask("/notebooks"),
    "show_files": Ask("/notebooks/files"),
    "show_registering": Ask("/notebooks/new"),
    "register_from_a_page": Ask("/notebooks/new", form={"path": "{loose}", "name": "loose {key}"}),
    "show_a_notebook": Ask("/notebooks/{notebook}"),
    "execute_from_a_page": Ask("/notebooks/{notebook}/execute", form={"p.month": "7"}),
    "show_executions": Ask("/executions"),
    "show_an_execution": Ask("/executions/{ended}"),
    "cancel_from_a_page": Ask("/executions/{pending}/cancel", form={}),
    "execute_again_from_a_page": Ask("/executions/{ended}/again", form={}),
    "copy_to_debug": Ask("/executions/{ended}/copy", form={}, output=True),
    "show_a_sweep": Ask("/notebooks/{notebook}/sweep"),
    "sweep_from_a_page": Ask("/notebooks/{notebook}/sweep", form={"p.month": "7, 8", "counted": "2"}),
    "show_definitions": Ask("/notebooks/{notebook}/parameters"),
    "save_definitions": Ask(
        "/notebooks/{notebook}/parameters", form={"d.0.name": "other", "d.0.type": "integer", "d.0.take": "yes"}
    ),
    "grant_from_a_page": Ask(
        "/notebooks/{notebook}/grants", form={"kind": "user", "grantee": "dora", "level": "editor"}
    ),
    "revoke_a_grant_from_a_page": Ask("/notebooks/{notebook}/grants/revoke", form={"kind": "user", "grantee": "dora"}),
    "show_comparison": Ask("/notebooks/{notebook}/compare"),
    "choose_a_comparison": Ask("/compare", query={"executions": ["{ended}"]}),
    "show_difference": Ask("/difference", query={"executions": ["{ended}", "{ended}"]}),
    "show_batches": Ask("/batches"),
    "show_a_batch": Ask("/batches/{batch}"),
    "cancel_a_batch_from_a_page": Ask("/batches/{batch}/cancel", form={}),
    "repeat_a_batch_from_a_page": Ask("/batches/{ended_batch}/retry", form={}),
    "show_schedules": Ask("/schedules"),
    "show_a_schedule": Ask("/schedules/{schedule}"),
    "show_a_new_schedule": Ask("/schedules/new", query={"notebook_id": "{notebook}"}),
    "schedule_from_a_page": Ask(
        "/schedules/new",
        form={"notebook_id": "{notebook}", "name": "{key}", "cron": "@daily", "username": "ana"},
        names=True,
    ),
    "show_a_schedule_to_change": Ask("/schedules/{schedule}/edit", names=True),
    "change_a_schedule_from_a_page": Ask(
        "/schedules/{schedule}/edit", form={"name": "{key}", "cron": "@daily"}, names=True
    ),
    "pause_a_schedule_from_a_page": Ask("/schedules/{schedule}/pause", form={}, names=True),
    "resume_a_schedule_from_a_page": Ask("/schedules/{schedule}/resume", form={}, names=True),
    "run_a_schedule_from_a_page": Ask("/schedules/{schedule}/run", form={}, names=True),
    "backfill_a_schedule_from_a_page": Ask(
        "/schedules/{schedule}/backfill", form={"from": "2026-01-01", "to": "2026-01-02"}, names=True
    ),
    "delete_a_schedule_from_a_page": Ask("/schedules/{schedule}/delete", form={}, names=True),
    "show_workers": Ask("/service/workers"),
    "show_kernels": Ask("/service/kernels"),
    "show_the_audit": Ask("/service/audit"),
    "show_tokens": Ask("/tokens"),
    "make_a_token_from_a_page": Ask("/tokens", form={"scopes": "read"}, admins=True),
    "revoke_a_token_from_a_page": Ask("/tokens/{token}/revoke", form={}, made=True),
}
TABLE = sorted(endpoints(create_app(Settings())), key=lambda each: (each.path, each.method))


def expected(right: Right | None, ask: Ask, kind: Kind) -> int:
    """The status of the answer; 200 stands for any success."""
    if right is None:
        return 404 if ask.nothing else 200
    if kind.unknown:
        return 401
    if right.scope not in with_implied(kind.scopes):
        return 403
    if isinstance(right.of, Level):
        if kind.held is None:
            return 404
        return 200 if kind.held.rank >= right.of.rank else 403
    if ask.names and kind.held is None:
        return 404
    if right.of == ACTING:
        return 200 if kind.username == "ana" or kind.everybody else 403
    if ask.made:
        return 200 if kind.username == "ana" or kind.admin else 404
    if ask.browsers and not kind.browser:
        return 422
    return 403 if ask.admins and not (kind.admin or kind.browser) else 200


class InProcess:
    """A client of an application in this process. Entered, the application has started."""

    def __init__(self, app: FastAPI) -> None:
        self._app, self._runner = app, asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def request(self, method: str, path: str, **sent: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **sent))

    async def _live(self, started: asyncio.Event) -> None:
        async with self._app.router.lifespan_context(self._app):
            started.set()
            await self._stop.wait()

    async def _start(self) -> None:
        started, self._stop = asyncio.Event(), asyncio.Event()
        self._living = asyncio.create_task(self._live(started))
        starting = asyncio.create_task(started.wait())
        await asyncio.wait({self._living, starting}, return_when=asyncio.FIRST_COMPLETED)
        assert started.is_set(), self._living.exception()

    async def _end(self) -> None:
        await self._client.aclose()
        self._stop.set()
        await self._living

    def __enter__(self) -> "InProcess":
        self._runner.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._end())
        self._runner.close()


def _filled(part: Any, things: dict[str, Any]) -> Any:
    """What is sent, with the things in it."""
    if isinstance(part, dict):
        return {key: _filled(value, things) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, things) for value in part]
    if not isinstance(part, str):
        return part
    found = part.format(**things)
    return int(found) if part == "{notebook}" else found


class Stage:
    """One service and its database, in this process; whoever calls sends a token or is nobody."""

    def __init__(self, connection: psycopg.Connection[Any], client: InProcess, users: Path, shared: Path) -> None:
        self.sql, self.client, self.users, self.shared = connection, client, users, shared
        self.secrets = {name: self._token(name, kind) for name, kind in KINDS.items()}
        self.own = str(write_notebook(users / "ana" / "own.ipynb", "1"))
        self.last: dict[str, Any] | None = None
        self.source = json.dumps(json.loads(Path(self.own).read_text()))

    def one(self, statement: str, *values: Any) -> Any:
        row = self.sql.execute(statement, values).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row[0]

    def _token(self, name: str, kind: Kind) -> str | None:
        if not kind.scopes:
            return "prs_" + "A" * 43 if name == "a wrong token" else None
        secret = hashlib.sha256(name.encode()).hexdigest()[:43]
        if kind.browser:
            return secret
        secret = f"prs_{secret}"
        now = datetime.now(UTC)
        self.sql.execute(
            "INSERT INTO access_tokens (username, name, hash, scopes, groups, roles, created_by, expires_at, "
            "revoked_at) VALUES (%s, %s, %s, %s, %s, %s, 'boss', %s, %s)",
            (
                kind.username,
                name,
                hashlib.sha256(secret.encode()).digest(),
                json.dumps(kind.scopes),
                json.dumps(["readers"] if name == "a viewer by a group" else []),
                json.dumps(["admin"] if "admin" in kind.scopes else []),
                now - timedelta(days=1) if name == "an expired token" else now + timedelta(days=1),
                now if name == "a revoked token" else None,
            ),
        )
        return secret

    def headers(self, name: str) -> dict[str, str]:
        secret, kind = self.secrets[name], KINDS[name]
        if secret is None:
            return {}
        if not kind.browser:
            return {"Authorization": f"Bearer {secret}"}
        # One that was ended, by being asked to, begins anew.
        self.sql.execute(
            "INSERT INTO sessions (hash, username, groups, roles, scopes, source, expires_at) "
            "VALUES (%s, %s, '[]', %s, %s, 'oidc', %s) ON CONFLICT DO NOTHING",
            (
                hashlib.sha256(secret.encode()).digest(),
                kind.username,
                json.dumps(["admin"] if kind.admin else []),
                json.dumps(sorted(with_implied(kind.scopes))),
                datetime.now(UTC) + timedelta(days=-1 if kind.unknown else 1),
            ),
        )
        cookie = {"Cookie": f"pressroom_session={secret}"}
        return cookie | {"Origin": "http://127.0.0.1", "X-CSRF-Token": csrf_token(secret)}

    def things(self) -> dict[str, Any]:
        """A notebook of `ana`'s and all that belongs to it, with grants to the others."""
        key = uuid.uuid4().hex[:12]
        path = self.shared / f"{key}.ipynb"
        path.write_text(self.source)
        free = self.users / "ana" / f"free-{key}.ipynb"
        free.write_text(self.source)
        loose = self.shared / f"loose-{key}.ipynb"
        loose.write_text(self.source)
        notebook = self.one(
            "INSERT INTO notebooks (name, file_path, username, run_as, tags, metadata) "
            "VALUES (%s, %s, 'ana', 'owner', '[]', '{}') RETURNING id",
            f"sales {key}",
            str(path),
        )
        self.sql.execute(
            "INSERT INTO notebook_grants (notebook_id, kind, grantee, level, granted_by) SELECT %s, * FROM (VALUES "
            "('user', 'vera', 'viewer', 'ana'), ('group', 'readers', 'viewer', 'ana'), "
            "('user', 'rita', 'runner', 'ana'), ('user', 'emil', 'editor', 'ana'), "
            "('user', 'dora', 'viewer', 'ana')) AS granted",
            (notebook,),
        )
        ended = self.one("SELECT nextval('notebook_executions_id_seq')")
        self.sql.execute(
            "INSERT INTO notebook_executions (id, notebook_id, username, input_path, output_path, parameters_used, "
            "status, submitted_by) VALUES (%s, %s, 'ana', %s, %s, '{}', 'success', 'ana')",
            (ended, notebook, str(path), str(path.parent / "executions" / f"{key}-x-{ended}.ipynb")),
        )
        batches = [
            self.one(
                "INSERT INTO batches (notebook_id, username, created_by, source, plan, total, ended_at, counts) "
                "VALUES (%s, 'ana', 'ana', 'sets', '{}', 1, %s, %s) RETURNING id",
                notebook,
                ended_at,
                '{"failed": 1}' if ended_at else None,
            )
            for ended_at in (None, datetime.now(UTC))
        ]
        self.sql.execute(
            "INSERT INTO notebook_executions (id, notebook_id, username, input_path, output_path, parameters_used, "
            "status, submitted_by, batch_id, batch_index) SELECT nextval('notebook_executions_id_seq'), notebook_id, "
            "username, input_path, replace(output_path, %s, '-x-' || currval('notebook_executions_id_seq')), '{}', "
            "'failed', 'ana', %s, 0 FROM notebook_executions WHERE id = %s",
            (f"-x-{ended}", batches[1], ended),
        )
        return {
            "key": key,
            "own": self.own,
            "batch": batches[0],
            "ended_batch": batches[1],
            "free": str(free),
            "loose": str(loose),
            "notebook": notebook,
            "ended": ended,
            "parameter": self.one(
                "INSERT INTO notebook_parameters (notebook_id, param_name, param_type, required) "
                "VALUES (%s, 'month', 'integer', 0) RETURNING id",
                notebook,
            ),
            "schedule": self.one(
                "INSERT INTO schedules (notebook_id, username, name, cron, timezone, missed, missed_limit, overlap, "
                "created_by) VALUES (%s, 'ana', %s, '@yearly', 'UTC', 'last', 1, 'queue', 'ana') RETURNING id",
                notebook,
                f"schedule {key}",
            ),
            "notification": self.one(
                "INSERT INTO notifications (notebook_id, username, channel, target, events) "
                "VALUES (%s, 'ana', 'webhook', 'https://example.com/', '[\"execution.failed\"]') RETURNING id",
                notebook,
            ),
            "token": self.one(
                "INSERT INTO access_tokens (username, name, hash, scopes, groups, roles, created_by, expires_at) "
                "VALUES ('ana', %s, sha256(%s), '[]', '[]', '[]', 'ana', now()) RETURNING id",
                key,
                key.encode(),
            ),
        }

    def pending(self, notebook: int) -> int:
        """An execution of `ana`'s that an administrator started."""
        headers = self.headers("an administrator") | ASYNC
        asked = self.client.request("POST", f"/db/notebooks/{notebook}/executions", json={}, headers=headers)
        assert asked.status_code == 202, asked.text
        return asked.json()["id"]

    def left(self, execution: int) -> None:
        """Put a notebook where an execution would have left one."""
        path = Path(self.one("SELECT output_path FROM notebook_executions WHERE id = %s", execution))
        path.parent.mkdir(exist_ok=True)
        mark = {"pressroom": {"execution_id": execution}}
        path.write_text(json.dumps(json.loads(self.source) | {"metadata": mark}))

    def ask(self, endpoint: Endpoint, name: str) -> tuple[dict[str, Any], httpx.Response]:
        """What an endpoint answers a kind of caller."""
        ask = ASKS[endpoint.name]
        # Whoever gets nowhere, or asks for what anybody may ask for, leaves everything as it is.
        if self.last is None or not (KINDS[name].unknown or endpoint.right is None):
            self.last = self.things()
        things = self.last
        if "{pending}" in ask.path:
            things |= {"pending": self.pending(things["notebook"])}

        if ask.output:
            self.left(things["ended"])

        def filled(part: Any) -> Any:
            return _filled(part, things)

        sent: dict[str, Any] = {"headers": self.headers(name) | ASYNC, "params": filled(ask.query)}
        if ask.upload:
            table = ("sets.csv", "month\n7\n"), {"notebook_id": str(things["notebook"])}
            file, data = table if ask.table else ((f"{things['key']}.ipynb", self.source), {"username": "ana"})
            sent |= {"files": {"file": file}, "data": data}
        elif ask.form is not None:
            sent["data"] = filled(ask.form)
        elif ask.json is not None:
            sent["json"] = filled(ask.json)
        return things, self.client.request(endpoint.method, filled(ask.path), **sent)


@pytest.fixture(scope="module")
def stage(server: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all cases."""
    root = tmp_path_factory.mktemp("rights")
    users, shared = root / "home", root / "shared"
    shared.mkdir()
    for kind in KINDS.values():
        (users / kind.username).mkdir(parents=True, exist_ok=True)
    name = f"t_{uuid.uuid4().hex}"

    def at(database: str) -> str:
        return server.set(drivername="postgresql", database=database).render_as_string(hide_password=False)

    with psycopg.connect(at("postgres"), autocommit=True) as main:
        main.execute(sql.SQL("CREATE DATABASE {} TEMPLATE pressroom_template").format(sql.Identifier(name)))
        settings = Settings(
            database_url=at(name),  # type: ignore[arg-type]
            users_root=users,
            shared_roots=[shared],
            local_user="boss",
            workers=0,
            refusals_per_minute=1_000_000,
        )
        app = create_app(settings)
        with (
            pytest.MonkeyPatch.context() as patched,
            InProcess(app) as client,
            psycopg.connect(at(name), autocommit=True) as connection,
        ):
            # Hundreds of strangers call here in a minute, and each refusal is looked for.
            patched.setattr(strangers, "ONE_BY_ONE", 1_000_000)
            patched.setattr(strangers, "ENTRIES", 1_000_000)
            parts = app.state.parts
            # As where nobody is the local user: whoever sends no token is nobody.
            reads = SharedReads()
            sessions = Sessions(parts.database, reads, settings)
            nobody = Authentication([TokenSource(parts.database, reads)], None, sessions)
            app.state.parts = replace(parts, authentication=nobody)
            yield Stage(connection, client, users, shared)
        main.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_every_endpoint_is_asked() -> None:
    assert {endpoint.name for endpoint in TABLE} == ASKS.keys()
    assert len(TABLE) * len(KINDS) > 700


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("endpoint", TABLE, ids=lambda each: f"{each.method} {each.path}")
def test_the_answer_is_as_the_table_says(stage: Stage, endpoint: Endpoint, name: str) -> None:
    ask, kind = ASKS[endpoint.name], KINDS[name]
    before = stage.one("SELECT coalesce(max(id), 0) FROM audit_log")
    things, answer = stage.ask(endpoint, name)
    wanted = expected(endpoint.right, ask, kind)
    # What was done or refused is written down once; what was read, or is not there, is not.
    noted = (endpoint.method not in READING and wanted == 200) or wanted in (401, 403)
    entries = stage.sql.execute(
        "SELECT operation, allowed FROM audit_log WHERE id > %s AND path = %s", (before, answer.request.url.path)
    ).fetchall()
    assert entries == [(endpoint.name, wanted == 200)] * noted
    files = ("download_the_output", "read_the_output", "read_a_result", "download_an_artifact")
    if endpoint.name in files and wanted == 200:
        # There is no such file; whoever may see the execution is told why.
        assert (answer.status_code, answer.json()["what"]) != (404, "execution"), answer.text
        return
    unwell = endpoint.path == "/health" and answer.status_code == 503  # a slow machine's database; it is an answer
    # After what a form asked for was done, the browser is sent on.
    status = 200 if answer.is_success or answer.status_code == 303 or unwell else answer.status_code
    assert status == wanted, answer.text
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    if wanted == 404 and endpoint.method != "HEAD" and not ask.nothing:
        # Word by word what is said of one that is not there.
        assert answer.json()["detail"] == f"There is no {answer.json()['what']} {answer.json()['key']}."
        assert "sales" not in answer.text
        assert str(things["key"]) not in answer.text


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.unknown])
def test_lists_and_their_totals_hold_what_the_caller_may_see(stage: Stage, name: str) -> None:
    kind = KINDS[name]
    stage.sql.execute("DELETE FROM notebooks WHERE name LIKE 'loose %'")  # their own, from the page that registers
    stage.pending(stage.things()["notebook"])
    seen = kind.held is not None
    for path, table in (
        ("/db/notebooks", "notebooks"),
        ("/db/notebooks/user/ana", "notebooks"),
        ("/db/executions", "notebook_executions"),
        ("/db/executions?username=ana", "notebook_executions"),
        ("/db/executions?queue=default&status=pending", ""),
        ("/db/batches", "batches"),
    ):
        answer = stage.client.request("GET", path, headers=stage.headers(name), params={})
        assert answer.status_code == 200
        hers = [row for row in answer.json() if row["username"] == "ana"]
        assert bool(hers) == seen, path
        if table:
            total = stage.one(f"SELECT count(*) FROM {table} WHERE username = 'ana' OR %s", kind.everybody)
            granted = "SELECT notebook_id FROM notebook_grants"
            if table in ("notebook_executions", "batches") and seen and kind.username != "ana" and not kind.everybody:
                total = stage.one(f"SELECT count(*) FROM {table} WHERE notebook_id IN ({granted})")
            if table == "notebooks" and seen and kind.username != "ana" and not kind.everybody:
                total = stage.one(f"SELECT count(*) FROM {table} WHERE id IN ({granted})")
            assert answer.headers["X-Total-Count"] == str(total if seen else 0), path
    waiting = sum(
        queue["waiting"] for queue in stage.client.request("GET", "/db/queues", headers=stage.headers(name)).json()
    )
    assert bool(waiting) == seen


def test_whoever_may_not_see_a_thing_is_told_what_they_are_told_of_none(stage: Stage) -> None:
    things = stage.things()
    for path, key in (
        ("/db/notebooks/{}", "notebook"),
        ("/db/executions/{}", "ended"),
        ("/db/executions/{}/log", "ended"),
        ("/db/batches/{}", "batch"),
        ("/db/batches/{}/events", "ended_batch"),
        ("/db/parameters/{}", "parameter"),
        ("/db/notifications/{}", "notification"),
    ):
        hidden = stage.client.request("GET", path.format(things[key]), headers=stage.headers("another user"))
        missing = stage.client.request("GET", path.format(2_000_000_000), headers=stage.headers("another user"))
        assert hidden.status_code == missing.status_code == 404
        assert hidden.text.replace(str(things[key]), "N") == missing.text.replace("2000000000", "N")
