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


def calls(address: str, notebook_id: int, path: str, parameters: Mapping[str, Any], secret: Collection[str]) -> Calls:
    """How to execute a notebook with these parameters: by the service's ``address``, or with its file's ``path``."""
    body = json.dumps({"parameters": {**parameters, **dict.fromkeys(secret, "...")}}, ensure_ascii=False)
    curl = [
        f"curl -X POST {shlex.quote(f'{address}/db/notebooks/{notebook_id}/executions')}",
        '  -H "Authorization: Bearer $PRESSROOM_TOKEN"',
        "  -H 'Content-Type: application/json'",
        f"  -d {shlex.quote(body)}",
    ]
    python = ["import os", ""] if secret else []
    values = [f"    {name!r}: {value!r}," for name, value in parameters.items()]
    values += [f"    {name!r}: os.environ[{name.upper()!r}]," for name in secret]
    python += [
        "from pressroom import Client",
        "",
        f"with Client({address!r}) as client:",
        f"    client.execute_notebook({notebook_id}, " + ("{" if values else "{})"),
    ]
    if values:
        python += [f"    {line}" for line in values] + ["    })"]
    command = [f"pressroom submit {shlex.quote(path)} --wait"]
    command += [f"  -p {shlex.quote(name)} {shlex.quote(_typed(value))}" for name, value in parameters.items()]
    command += [f"  --secret {shlex.quote(name)}" for name in secret]
    return Calls(" \\\n".join(curl), "\n".join(python), " \\\n".join(command))


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
