"""What orders need of registered notebooks, and their ids and time: as few round trips as there can be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pressroom.database.session import Connection
from pressroom.executions.options import ExecutionDefaults
from pressroom.parameters.rules import Definition

_COLUMNS = """jsonb_build_object(
    'id', n.id, 'username', n.username, 'file_path', n.file_path, 'defaults', n.execution_defaults,
    'parameters', (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id) FROM notebook_parameters AS p WHERE p.notebook_id = n.id)
)"""
_OPENED = f"""
SELECT now() AS at,
    ARRAY(SELECT nextval('notebook_executions_id_seq')::integer FROM generate_series(1, %(count)s)) AS ids,
    (SELECT jsonb_agg({_COLUMNS}) FROM notebooks AS n WHERE n.id = ANY (%(notebooks)s::integer[])) AS notebooks
"""  # noqa: S608 - no value of anybody's is in it
_AT_PATH = f"SELECT {_COLUMNS} FROM notebooks AS n WHERE n.file_path = %(path)s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered notebook: whose it is, where its file is said to lie, its parameters, its executions' defaults."""

    id: int
    username: str
    file_path: str
    definitions: list[Definition]
    defaults: ExecutionDefaults

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Registered":
        """The notebook that a row of the statements above tells of."""
        return cls(
            row["id"],
            row["username"],
            row["file_path"],
            [_definition(parameter) for parameter in row["parameters"] or ()],
            ExecutionDefaults.model_validate(row["defaults"]),
        )


def _definition(row: Mapping[str, Any]) -> Definition:
    return Definition(
        name=row["param_name"],
        type=row["param_type"],
        required=bool(row["required"]),
        default=row["default_value"],
        description=row["description"],
        rules=row["validation_rules"] or {},
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What submitting begins with: an id for each order, the transaction's time, and the notebooks that are named."""

    ids: list[int]
    at: datetime
    notebooks: dict[int, Registered]


async def opened(connection: Connection, count: int, notebook_ids: Collection[int]) -> Opened:
    """``count`` new ids, and those of the notebooks that there are. One round trip."""
    answer = await connection.execute(_OPENED, {"count": count, "notebooks": list(notebook_ids)})
    [(at, ids, notebooks)] = await answer.fetchall()
    found = [Registered.of(notebook) for notebook in notebooks or ()]
    return Opened(ids, at, {notebook.id: notebook for notebook in found})


async def at_path(connection: Connection, path: str) -> Registered | None:
    """The notebook registered for a file."""
    row = await (await connection.execute(_AT_PATH, {"path": path})).fetchone()
    return Registered.of(row[0]) if row is not None else None
