"""The same call as commands and code, ready to copy. A secret stands in none of them."""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Calls:
    """The same execution, asked for in three ways."""

    curl: str
    python: str
    command: str


_OPTIONS = {"timeout_seconds": "--timeout"}
"""The options of the command that are not called as the fields are."""


def calls(
    address: str,
    notebook_id: int,
    path: str,
    parameters: Mapping[str, Any],
    secret: Collection[str],
    how: Mapping[str, Any],
) -> Calls:
    """How to execute a notebook with these parameters: by the service's ``address``, or with its file's ``path``.
    ``how``: what is said beside the parameters, the queue and so on."""
    body = json.dumps({"parameters": {**parameters, **dict.fromkeys(secret, "...")}, **how}, ensure_ascii=False)
    curl = [
        f"curl -X POST {shlex.quote(f'{address}/db/notebooks/{notebook_id}/executions')}",
        '  -H "Authorization: Bearer $PRESSROOM_TOKEN"',
        "  -H 'Content-Type: application/json'",
        f"  -d {shlex.quote(body)}",
    ]
    python = ["import os", ""] if secret else []
    values = [f"    {name!r}: {value!r}," for name, value in parameters.items()]
    values += [f"    {name!r}: os.environ[{name.upper()!r}]," for name in secret]
    beside = "".join(f", {name}={value!r}" for name, value in how.items())
    python += [
        "from pressroom import Client",
        "",
        f"with Client({address!r}) as client:",
        f"    client.execute_notebook({notebook_id}, " + ("{" if values else f"{{}}{beside})"),
    ]
    if values:
        python += [f"    {line}" for line in values] + [f"    }}{beside})"]
    command = [f"pressroom submit {shlex.quote(path)} --wait"]
    command += [f"  -p {shlex.quote(name)} {shlex.quote(_typed(value))}" for name, value in parameters.items()]
    command += [f"  --secret {shlex.quote(name)}" for name in secret]
    command += [
        f"  {_OPTIONS.get(name) or '--' + name.replace('_', '-')} {shlex.quote(_typed(value))}"
        for name, value in how.items()
    ]
    return Calls(" \\\n".join(curl), "\n".join(python), " \\\n".join(command))


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
