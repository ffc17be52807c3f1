"""Every setting, typed, from the environment.

A setting ``name`` is the variable ``PRESSROOM_NAME`` and the flag ``--name`` of ``pressroom serve``, unless it is a
secret; the database is ``DATABASE_URL``. Settings are read once, at the edge, and passed in.
"""

import getpass
import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from pressroom.front_settings import FrontSettings
from pressroom.hosts import is_loopback
from pressroom.jupyterhub_settings import JupyterHubSettings
from pressroom.mlflow_settings import MlflowSettings
from pressroom.oidc_settings import OidcSettings
from pressroom.secret_settings import SecretSettings
from pressroom.session_settings import SessionSettings
from pressroom.smtp import mail_server, mailbox

MEBIBYTE = 2**20
SERVICE, USER = "service", "user"
"""As whom notebooks run."""
AUTO = "auto"
LOCAL = "local"
OIDC = "oidc"
JUPYTERHUB = "jupyterhub"
AUTH = (LOCAL, OIDC, JUPYTERHUB)
"""The ways to be known that there are."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def _account() -> str:
    """The account of this process; its number where that has no name, as it may be in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class Settings(OidcSettings, JupyterHubSettings, SessionSettings, FrontSettings, SecretSettings, MlflowSettings):
    """The settings of a service or a command."""

    model_config = SettingsConfigDict(
        env_prefix="PRESSROOM_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8002, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    auth: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda told: [JUPYTERHUB if told["jupyterhub_service_name"] else LOCAL],
        description="How callers are known, separated by ','. oidc: at oidc_issuer, browsers by their sign-in and "
        "programs by its access tokens. jupyterhub: at the Hub, likewise. local: whoever sends no token is one user "
        "with every right, on a loopback address only. If left out, jupyterhub where a Hub started this, else local.",
    )
    local_user: str = Field(
        default_factory=_account,
        description="The name of the one user of auth=local; if left out, the account that the service runs as.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("database_url", "DATABASE_URL", "PRESSROOM_DATABASE_URL"),
        description="PostgreSQL to use, in SQLAlchemy's or libpq's spelling; if left out, an embedded server.",
    )
    database_pool_size: int = Field(
        default=10, ge=2, le=1000, description="Database connections held at most; one is held all the time."
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("pressroom", appauthor=False),
        description="Where the embedded database lives.",
    )
    users_root: Path = Field(default=Path("/home"), description="The folder that holds each user's directory.")
    shared_roots: Annotated[list[Path], NoDecode] = Field(
        default_factory=list[Path],
        description="Folders that every user may read notebooks from and write them to, separated by ':'.",
    )
    run_as: Literal["service", "user"] = Field(
        default=SERVICE,
        description="As whom notebooks run and files are touched. service: the account that the service runs as; user: "
        "the account of this machine that has the user's name, which needs root.",
    )
    kernel_environment: Annotated[list[str], NoDecode] = Field(
        default_factory=list[str],
        description="Variables of the service's environment that kernels may see besides the usual ones (PATH, HOME, "
        "LANG, ...), separated by ','; a name may end in '*'.",
    )
    preload: Annotated[Literal["auto"] | list[str], NoDecode] = Field(
        default=AUTO,
        description="Modules that are imported once, before kernels are forked, so that notebooks find them loaded: "
        "names separated by ','; auto: those that most of the registered notebooks import "
        "(only well-known ones with PRESSROOM_RUN_AS=user); none: nothing.",
    )
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=0,
        le=1000,
        description="Executions that the service itself runs at once; 0 for an API alone, beside `pressroom worker`. "
        "If left out, the number of processors.",
    )
    worker_grace_seconds: float = Field(
        default=10.0,
        ge=0,
        description="Seconds that executions may go on when their worker stops, before they go back into the queue.",
    )
    worker_lost_seconds: float = Field(
        default=20.0,
        ge=1,
        le=3600,
        description="Seconds without a sign of life after which a worker counts as lost, and another one takes over "
        "what it ran. A worker gives four signs of life in that time. The same for every process of a service.",
    )
    max_attempts: int = Field(default=3, ge=1, le=100, description="Tries of an execution that does not say.")
    attempts_limit: int = Field(
        default=100, ge=1, le=100, description="The most tries that an execution may ask for; more are refused."
    )
    retry_delay_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds before the second try of an execution that does not say."
    )
    user_limit: int | None = Field(
        default=None,
        ge=1,
        description="Executions of one user that run at once, at most; who asks for more is refused. If left out, no "
        "limit.",
    )
    queue_limits: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict[str, int],
        description="Executions of a queue that run at once, at most, for instance gpu=2,reports=4; who asks for more "
        "is refused.",
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="Time limit of an execution that names none, in seconds; if left out, none."
    )
    timeout_limit_seconds: float | None = Field(
        default=None,
        gt=0,
        description="The longest time limit that an execution may ask for, in seconds, and that of one without any; a "
        "longer one is refused. If left out, there is none.",
    )
    bulk_limit: int = Field(
        default=10_000, ge=1, le=10_000, description="The most executions that may be submitted together."
    )
    batch_limit: int = Field(
        default=100_000, ge=1, le=1_000_000, description="The most executions that a batch may have."
    )
    max_memory_mb: int | None = Field(
        default=None,
        ge=64,
        description="Memory of an execution, in MiB: what one may ask for at most, and what one has that does not say; "
        "if left out, no limit.",
    )
    max_cpu_seconds: float | None = Field(
        default=None,
        ge=1,
        description="Processor time of an execution, in seconds: what one may ask for at most, and what one has that "
        "does not say; if left out, no limit.",
    )
    max_processes: int | None = Field(
        default=None,
        ge=16,
        description="Processes and threads of an execution at once: what one may ask for at most, and what one has "
        "that does not say; if left out, no limit.",
    )
    grace_seconds: float = Field(
        default=5.0, ge=0, description="Seconds between the interrupt and the end of a kernel that is stopped."
    )
    max_body_mb: float = Field(default=8.0, gt=0, description="Largest request body, in MiB, uploads aside.")
    max_notebook_mb: float = Field(
        default=32.0, gt=0, description="Largest notebook read or uploaded, and largest file of a batch's sets, in MiB."
    )
    max_output_mb: float = Field(
        default=100.0,
        gt=0,
        description="Largest sum of the outputs of one execution, in MiB; what comes after is cut, with a notice.",
    )
    max_results_mb: float = Field(
        default=32.0,
        gt=0,
        le=1024,
        description="Largest sum of the results that one execution records, in MiB; one result may have 5, and an "
        "execution 1,000 of them. What is over that is not kept, which its log says.",
    )
    max_artifacts: int = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="Files of an execution's artifact directory that are listed, at most; its log says so where there "
        "are more.",
    )
    max_artifacts_mb: float = Field(
        default=1024.0, ge=0, description="Largest sum of the files that are listed, in MiB, likewise."
    )
    max_log_mb: float = Field(
        default=5.0, gt=0, description="Text of one attempt's outputs that is kept to follow and to read, in MiB."
    )
    retention_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="Days after its end that an execution is deleted, with its output under executions/; if left out, "
        "never.",
    )
    retention_keep_last: int = Field(
        default=0, ge=0, le=10_000, description="Executions of each notebook that are kept however old they are."
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="The mail server that notifications go out through, as smtp://user:password@host:587 or "
        "smtps://host; ?starttls=always or never says whether the first is encrypted, else it is where the server can. "
        "If left out, no e-mail is sent.",
    )
    mail_from: str | None = Field(
        default=None,
        validate_default=True,
        description="Who e-mail is from, as Reports <reports@example.com>; needed with smtp_url.",
    )
    public_url: str | None = Field(
        default=None,
        description="The address under which people reach this service, for links in e-mail, and for browsers to come "
        "back to after a sign-in; if left out, there are no links, and people sign in on this machine only.",
    )
    webhook_private_addresses: bool = Field(
        default=False,
        description="Whether webhooks may go to private, loopback and other addresses outside the public Internet.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="How much is logged.")
    log_format: Literal["console", "json"] | None = Field(
        default=None,
        description="How it is logged: console, for a person, or json; if left out, console on a terminal, else json.",
    )
    metrics_host: str | None = Field(
        default=None,
        description="Address of the port of `pressroom worker --metrics-port`; if left out, that of PRESSROOM_HOST.",
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="What a program on another machine sends as its bearer token to read /metrics; if left out, only "
        "programs on this machine may.",
    )

    audit_file: Path | None = Field(
        default=None,
        description="A file that gets each entry of the audit, too, as a line of JSON; if left out, none.",
    )

    @field_validator("shared_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value

    @field_validator("auth", "kernel_environment", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("preload", mode="before")
    @classmethod
    def _split_modules(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.strip() == AUTO:
            return AUTO
        names = [part.strip() for part in value.split(",") if part.strip()]
        names = [] if names == ["none"] else names
        if wrong := [name for name in names if name in (AUTO, "none") or not _MODULE.fullmatch(name)]:
            raise ValueError(f"{wrong[0]!r} is no module's name; write pandas,matplotlib.pyplot or auto or none")
        return names

    @field_validator("auth")
    @classmethod
    def _ways_to_be_known(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if wrong := [name for name in value if name not in AUTH]:
            raise ValueError(f"{wrong[0]!r} is no way to be known that this version has; it has {', '.join(AUTH)}")
        if not value:
            raise ValueError(f"names no way to be known; this version has {', '.join(AUTH)}")
        if OIDC in value and info.data.get("oidc_issuer") is None:
            raise ValueError("oidc needs PRESSROOM_OIDC_ISSUER")
        if JUPYTERHUB in value and info.data.get("jupyterhub_api_url") is None:
            raise ValueError("jupyterhub needs PRESSROOM_JUPYTERHUB_API_URL")
        if LOCAL in value and info.data.get("jupyterhub_service_name") is not None:
            raise ValueError("local is not for a service of a Hub: whoever came by its proxy could do everything")
        return list(dict.fromkeys(value))

    @field_validator("auth")
    @classmethod
    def _no_other_site_as_the_local_user(cls, value: list[str], info: ValidationInfo) -> list[str]:
        origins: list[str] = info.data.get("cors_origins", [])
        for origin in origins:
            if LOCAL in value and not is_loopback(urlsplit(origin).hostname or ""):
                raise ValueError(f"with local, pages of {origin} (PRESSROOM_CORS_ORIGINS) would be the local user")
        return value

    @field_validator("queue_limits", mode="before")
    @classmethod
    def _split_limits(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if wrong := [name for name, _, number in pairs if not (number.strip().isdigit() and int(number) > 0)]:
            raise ValueError(f"{wrong[0].strip()!r} needs a number of 1 or more: gpu=2,reports=4")
        return {name.strip(): int(number) for name, _, number in pairs}

    @field_validator("users_root", "data_dir", "audit_file", mode="before")
    @classmethod
    def _no_empty_path(cls, value: object) -> object:
        # A variable that was set to nothing would be the working directory, whichever that is.
        if isinstance(value, str) and not value.strip():
            raise ValueError("is empty; name a path, or leave it out")
        return value

    @field_validator("users_root", "data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("shared_roots")
    @classmethod
    def _all_absolute(cls, value: list[Path]) -> list[Path]:
        return [path.expanduser().absolute() for path in value]

    @field_validator("smtp_url")
    @classmethod
    def _a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            mail_server(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _a_mailbox(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            mailbox(value)
        elif info.data.get("smtp_url") is not None:
            raise ValueError("is needed with smtp_url: say who e-mail is from")
        return value

    @field_validator("public_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")) or not value.isprintable() or set(value) & set(" \"'<>?#"):
            raise ValueError("is not an address; write it as https://pressroom.example.com")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _as_the_hub_says(self) -> Self:
        if JUPYTERHUB in self.auth:
            for name, value in self.told_by_the_hub().items():
                if name not in self.model_fields_set:
                    setattr(self, name, value)
        return self

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return is_loopback(self.host)
