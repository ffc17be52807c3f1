"""The definitions of notebooks' parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue, TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Notebook, Parameter
from pressroom.database.session import violated
from pressroom.errors import AlreadyExists, NotFound, ParameterInvalid
from pressroom.parameters.definitions import check_definition
from pressroom.parameters.rules import Definition
from pressroom.parameters.schemas import ParameterFields, ParameterOut
from pressroom.parameters.values import resolve

ROWS = TypeAdapter(list[ParameterOut])


def check(fields: ParameterFields) -> None:
    """Raise :class:`RuleInvalid` where a definition is wrong in itself."""
    check_definition(definition_of(fields))


async def add(session: AsyncSession, notebook_id: int, wanted: Sequence[ParameterFields]) -> list[Parameter]:
    """Add definitions to a notebook, all or none.

    Raises :class:`RuleInvalid` for a definition that is wrong in itself, :class:`AlreadyExists` for a name that the
    notebook has, :class:`NotFound` where there is no such notebook.
    """
    rows: list[Parameter] = []
    for fields in wanted:
        check(fields)
        row = Parameter(
            notebook_id=notebook_id,
            param_name=fields.param_name,
            param_type=fields.param_type,
            default_value=fields.default_value,
            description=fields.description,
            required=int(fields.required),
            validation_rules=fields.validation_rules,
            secret=fields.secret,
        )
        if any(other.param_name == row.param_name for other in rows):
            raise AlreadyExists("parameter of this list", "param_name", row.param_name)
        rows.append(row)
    await one_at_a_time(session, notebook_id)
    for row in rows:
        session.add(row)
        await _flush(session, row)
    return rows


async def get(session: AsyncSession, parameter_id: int) -> Parameter:
    """One definition. Raises :class:`NotFound`."""
    parameter = await session.get(Parameter, parameter_id)
    if parameter is None:
        raise NotFound("parameter", parameter_id)
    return parameter


async def of_notebook(session: AsyncSession, notebook_id: int) -> Sequence[Parameter]:
    """A notebook's definitions, in the order in which they were made."""
    wanted = select(Parameter).where(Parameter.notebook_id == notebook_id).order_by(Parameter.id)
    return (await session.scalars(wanted)).all()


async def page(session: AsyncSession, notebook_id: int, skip: int, limit: int) -> tuple[bytes, int, int]:
    """A page of a notebook's definitions, in that order: its JSON, its length, and how many there are in all."""
    wanted = select(Parameter).where(Parameter.notebook_id == notebook_id).order_by(Parameter.id)
    rows = (await session.scalars(wanted.offset(skip).limit(limit))).all()
    total = await session.scalar(select(func.count(Parameter.id)).where(Parameter.notebook_id == notebook_id))
    return ROWS.dump_json(ROWS.validate_python(rows)), len(rows), int(total or 0)


async def change(session: AsyncSession, parameter_id: int, changes: Mapping[str, Any]) -> Parameter:
    """Change some fields of a definition; the whole must be right afterwards. Raises as :func:`add`."""
    parameter = await get(session, parameter_id)
    for column, value in changes.items():
        setattr(parameter, column, int(value) if column == "required" else value)
    check_definition(definition_of(parameter))
    parameter.updated_at = datetime.now(UTC)
    with session.no_autoflush:
        await one_at_a_time(session, parameter.notebook_id)
    await _flush(session, parameter)
    return parameter


async def delete(session: AsyncSession, parameter_id: int) -> None:
    """Delete a definition. Raises :class:`NotFound`."""
    parameter = await get(session, parameter_id)
    await one_at_a_time(session, parameter.notebook_id)
    await session.delete(parameter)
    await session.flush()


async def copy(session: AsyncSession, from_notebook: int, to_notebook: int) -> None:
    """Give one notebook the definitions of another."""
    for row in await of_notebook(session, from_notebook):
        fields = ("param_name", "param_type", "default_value", "description", "required", "validation_rules", "secret")
        session.add(Parameter(notebook_id=to_notebook, **{name: getattr(row, name) for name in fields}))
    await session.flush()


async def resolved(
    session: AsyncSession, notebook_id: int, given: Mapping[str, JsonValue], *, lenient: bool = False
) -> dict[str, JsonValue]:
    """The values a notebook is executed with: those given, checked, and defaults for the rest.

    ``lenient``: the values are texts. Raises :class:`ParameterInvalid`, naming every parameter and rule broken.
    """
    definitions = [definition_of(row) for row in await of_notebook(session, notebook_id)]
    return resolve(definitions, given, lenient=lenient)


async def filled(
    session: AsyncSession, notebook_id: int, given: Mapping[str, JsonValue], *, lenient: bool = False
) -> dict[str, JsonValue]:
    """The values for a template: as :func:`resolved`, but what is required may still be left out, and secrets must."""
    definitions = [replace(definition_of(row), required=False) for row in await of_notebook(session, notebook_id)]
    if secret := [d.name for d in definitions if d.secret and d.name in given]:
        why = "is a secret, which no notebook may hold; give it to each execution of the new notebook"
        raise ParameterInvalid.of([ParameterInvalid(name, "secret", why) for name in secret])
    return resolve(definitions, given, lenient=lenient)


def definition_of(row: Parameter | ParameterFields) -> Definition:
    """The definition that a row holds, or what is to be one."""
    return Definition(
        name=row.param_name,
        type=row.param_type,
        required=bool(row.required),
        default=row.default_value,
        description=row.description,
        rules=row.validation_rules or {},
        secret=row.secret,
    )


async def one_at_a_time(session: AsyncSession, notebook_id: int) -> None:
    """Wait for others who change this notebook's definitions: two claiming names in opposite order would deadlock."""
    locked = select(Notebook.id).where(Notebook.id == notebook_id).with_for_update(key_share=True)
    await session.execute(locked)


async def _flush(session: AsyncSession, parameter: Parameter) -> None:
    name, notebook_id = parameter.param_name, parameter.notebook_id
    try:
        await session.flush()
        await session.refresh(parameter)
    except IntegrityError as error:
        match violated(error):
            case "uq_notebook_parameters_notebook_id_param_name":
                raise AlreadyExists(
                    "parameter", "param_name", name, f"Notebook {notebook_id} has a parameter {name!r} already."
                ) from error
            case "fk_notebook_parameters_notebook_id_notebooks":
                raise NotFound("notebook", notebook_id) from error
            case _:
                raise
