"""What an examination begins with: the settings, as far as they are right."""

import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError
from sqlalchemy import URL

from pressroom.doctor.findings import Finding, wrong
from pressroom.settings import Settings

PART = "settings"
_ROUNDS = 10


@dataclass(slots=True)
class Case:
    """An installation under examination. ``clock_seconds``: how far two clocks may be apart; ``answer_seconds``: how
    long a server may take to answer; ``url``: the database, once it is known."""

    settings: Settings
    clock_seconds: float = 2.0
    answer_seconds: float = 5.0
    url: URL | None = None
    findings: list[Finding] = field(default_factory=list[Finding])

    @property
    def secrets(self) -> list[str]:
        """What no finding may show."""
        values = [value.get_secret_value() for _, value in self.settings if isinstance(value, SecretStr)]
        found = {*values, *self.settings.secret_keys, *(password for value in values if (password := _password(value)))}
        if self.url is not None and self.url.password:
            found.add(self.url.password)
        return sorted((text for text in found if text), key=len, reverse=True)


def settings_as_far_as_right() -> tuple[Settings, list[Finding]]:
    """The settings of the environment. One that is wrong is a finding, and for the rest of the examination it is left
    out, so that it hides nothing else."""
    found: list[Finding] = []
    hidden: dict[str, str] = {}
    try:
        for _ in range(_ROUNDS):
            try:
                return Settings(), found
            except ValidationError as error:
                before = len(hidden)
                for problem in error.errors(include_input=False):
                    name = str(problem["loc"][0]) if problem["loc"] else ""
                    says = problem["msg"].removeprefix("Value error, ")
                    variables = _variables(name)
                    found.append(wrong(PART, f"{variables[0] if variables else name}: {says}", "change it"))
                    hidden |= {variable: os.environ.pop(variable) for variable in variables}
                if len(hidden) == before:  # it lacks something, and what asks for that is not told
                    ours = [variable for variable in os.environ if variable.startswith("PRESSROOM_")]
                    hidden |= {variable: os.environ.pop(variable) for variable in ours}
        raise RuntimeError("the settings cannot be read")
    finally:
        os.environ.update(hidden)


def _password(address: str) -> str | None:
    """The password in an address, where there is one."""
    try:
        return unquote(urlsplit(address).password or "") or None
    except ValueError:
        return None


def _variables(name: str) -> list[str]:
    """The variables of the environment that a setting has been read from."""
    plain = name.upper().removeprefix("PRESSROOM_")
    return [variable for variable in (f"PRESSROOM_{plain}", plain) if variable in os.environ]
