"""``pressroom serve``: each setting is a flag, but for secrets: everybody on the machine sees a command's arguments."""

import inspect
import socket
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from pressroom import logs, traces
from pressroom.app import create_app, leave, worker_failed
from pressroom.cli.room import FAILED, WRONG, complain, explained
from pressroom.cli.tls import tls_context
from pressroom.http_protocol import bounded_http
from pressroom.notebooks.accounts import require_accounts
from pressroom.press import control_groups
from pressroom.settings import LOCAL, USER, Settings

_PLAIN = {int: int, float: float, Path: Path}


class Server(uvicorn.Server):
    """Uvicorn, which tells the application that it is about to end while connections are still open, and ends with the
    worker: an API that takes executions which nobody runs would seem well."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    @property
    def worker_failed(self) -> bool:
        """Whether the worker inside has ended by itself."""
        return worker_failed(self._app)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end."""
        return await super().on_tick(counter) or self.worker_failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wake whoever waits, so that open connections come to their end; then Uvicorn's own."""
        leave(self._app)
        await super().shutdown(sockets)


def serve(**flags: Any) -> None:
    """Run the service: the API, and the executions."""
    given = {name: value for name, value in flags.items() if value is not None}
    settings = explained(lambda: Settings(**given))
    if LOCAL in settings.auth and not settings.listens_on_loopback:
        complain(
            f"PRESSROOM_AUTH=local lets whoever connects do everything as {settings.local_user}, so the service "
            f"listens on a loopback address only; {settings.host} is none. Use 127.0.0.1."
        )
        raise typer.Exit(WRONG)
    if settings.run_as == USER:
        explained(require_accounts)
    control_groups.settle()
    tls = explained(lambda: tls_context(settings))
    app = explained(lambda: create_app(settings))
    _bindable(settings.host, settings.port)
    logs.configure(settings)
    traces.configure()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        http=bounded_http(settings.max_header_kb),
        ws="none",
        proxy_headers=False,  # the application believes those that are trusted
        server_header=False,
        ssl_context_factory=None if tls is None else lambda _, __: tls,
    )
    server = Server(config, app)
    explained(server.run)
    if server.worker_failed:
        complain("The worker has ended although nobody stopped it, and the service with it; the log says why.")
    if server.worker_failed or not server.started:
        raise typer.Exit(FAILED)


def _bindable(host: str, port: int) -> None:
    """Say it in a sentence where nothing can listen at an address, before anything is started for it."""
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            socket.create_server(address[:2], family=family).close()
    except OSError as error:
        complain(f"The service cannot listen at {host}, port {port}: {error.strerror}. Another one: --port, --host.")
        raise typer.Exit(FAILED) from error


def _flags() -> list[inspect.Parameter]:
    found: list[inspect.Parameter] = []
    for name, field in Settings.model_fields.items():
        if SecretStr in (field.annotation, *get_args(field.annotation)):
            continue
        kind = _PLAIN.get(field.annotation, str) if isinstance(field.annotation, type) else str
        if field.annotation == float | None:
            kind = float
        default = "" if field.default in (None, PydanticUndefined) else f" [default: {field.default}]"
        variable = "DATABASE_URL" if name == "database_url" else f"PRESSROOM_{name.upper()}"
        text = f"{field.description}{default} [env: {variable}]"
        option = typer.Option(f"--{name.replace('_', '-')}", help=text, show_default=False)
        annotation = Annotated[kind | None, option]
        found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return found


serve.__signature__ = inspect.Signature(_flags())  # type: ignore[attr-defined]
serve.__annotations__ = {flag.name: flag.annotation for flag in _flags()}
