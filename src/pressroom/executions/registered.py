"""What orders need of registered notebooks, and their ids and time: as few round trips as there can be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pressroom.database.session import Connection
from pressroom.executions.options import ExecutionDefaults
from pressroom.identity.policy import Viewer
from pressroom.parameters.rules import Definition

_GRANTED = """(
    SELECT jsonb_agg(g.level) FROM notebook_grants AS g WHERE g.notebook_id = n.id
    AND (g.kind = 'user' AND g.grantee = %(viewer)s OR g.kind = 'group' AND g.grantee = ANY (%(groups)s::text[]))
)"""
"""What was granted to a caller; nobody asks it of one who may do everything."""
_COLUMNS = """jsonb_build_object(
    'id', n.id, 'username', n.username, 'file_path', n.file_path, 'defaults', n.execution_defaults,
    'run_as', n.run_as, 'granted', %(granted)s,
    'parameters', (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id) FROM notebook_parameters AS p WHERE p.notebook_id = n.id)
)"""
_OPENED = """
SELECT now() AS at,
    ARRAY(SELECT nextval('notebook_executions_id_seq')::integer FROM generate_series(1, %(count)s)) AS ids,
    (SELECT jsonb_agg(COLUMNS) FROM notebooks AS n WHERE n.id = ANY (%(notebooks)s::integer[])) AS notebooks
"""
_AT_PATH = "SELECT COLUMNS FROM notebooks AS n WHERE n.file_path = %(path)s"


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered notebook: whose it is, where its file is said to lie, its parameters, its executions' defaults."""

    id: int
    username: str
    file_path: str
    definitions: list[Definition]
    defaults: ExecutionDefaults
    run_as: str
    granted: tuple[str, ...]
    """The levels that the caller was granted."""

    @property
    def secret_names(self) -> frozenset[str]:
        """Which of its parameters are secret."""
        return frozenset(definition.name for definition in self.definitions if definition.secret)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Registered":
        """The notebook that a row of the statements above tells of."""
        return cls(
            row["id"],
            row["username"],
            row["file_path"],
            [_definition(parameter) for parameter in row["parameters"] or ()],
            ExecutionDefaults.model_validate(row["defaults"]),
            row["run_as"],
            tuple(row["granted"] or ()),
        )


def _definition(row: Mapping[str, Any]) -> Definition:
    return Definition(
        name=row["param_name"],
        type=row["param_type"],
        required=bool(row["required"]),
        default=row["default_value"],
        description=row["description"],
        rules=row["validation_rules"] or {},
        secret=row["secret"],
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What submitting begins with: an id for each order, the transaction's time, and the notebooks that are named."""

    ids: list[int]
    at: datetime
    notebooks: dict[int, Registered]


async def opened(connection: Connection, seen_by: Viewer | None, count: int, notebook_ids: Collection[int]) -> Opened:
    """``count`` new ids, and those of the notebooks that there are. One round trip."""
    statement, values = _for(_OPENED, seen_by)
    answer = await connection.execute(statement, values | {"count": count, "notebooks": list(notebook_ids)})
    [(at, ids, notebooks)] = await answer.fetchall()
    found = [Registered.of(notebook) for notebook in notebooks or ()]
    return Opened(ids, at, {notebook.id: notebook for notebook in found})


async def at_path(connection: Connection, seen_by: Viewer | None, path: str) -> Registered | None:
    """The notebook registered for a file."""
    statement, values = _for(_AT_PATH, seen_by)
    row = await (await connection.execute(statement, values | {"path": path})).fetchone()
    return Registered.of(row[0]) if row is not None else None


def _for(statement: str, seen_by: Viewer | None) -> tuple[bytes, dict[str, Any]]:
    """A statement with what was granted to ``seen_by``, and the values of that."""
    columns = _COLUMNS.replace("%(granted)s", "NULL" if seen_by is None else _GRANTED)
    values = {} if seen_by is None else {"viewer": seen_by.username, "groups": sorted(seen_by.groups)}
    return statement.replace("COLUMNS", columns).encode(), values
