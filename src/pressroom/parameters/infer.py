"""Definitions proposed from the cell of a notebook that is tagged ``parameters``.

A Python cell is read with Python's own parser, which sees annotations, literals over several lines and comments;
Papermill's inspection, which reads line by line, serves where the cell does not parse and for other languages that it
knows. No code of the notebook is executed.
"""

import ast
import io
import tokenize
from dataclasses import dataclass, field
from typing import Any, cast

from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode
from papermill.inspection import _infer_parameters  # pyright: ignore[reportPrivateUsage, reportUnknownVariableType]
from pydantic import JsonValue

from pressroom.errors import ParameterInvalid, RuleInvalid, shown
from pressroom.parameters.definitions import check_definition
from pressroom.parameters.rules import Definition, ParameterType, check_name

T = ParameterType
_NAMED: dict[str, ParameterType] = {
    "str": T.STRING, "int": T.INTEGER, "float": T.FLOAT, "bool": T.BOOLEAN, "list": T.LIST, "List": T.LIST,
    "tuple": T.LIST, "Sequence": T.LIST, "dict": T.JSON, "Dict": T.JSON, "Mapping": T.JSON, "date": T.DATE,
    "datetime": T.DATETIME, "Any": T.JSON,
}  # fmt: skip


@dataclass(slots=True)
class Inference:
    """What a notebook proposes. ``notes`` say in words what could not be told."""

    has_parameters_cell: bool
    definitions: list[Definition] = field(default_factory=list[Definition])
    notes: list[str] = field(default_factory=list[str])


def infer(notebook: NotebookNode) -> Inference:
    """The definitions that a notebook's parameters cell proposes; each can be saved as it is."""
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if not cells:
        return Inference(False, notes=["The notebook has no cell tagged 'parameters'."])
    found = Inference(True)
    metadata = cast("dict[str, Any]", notebook.metadata)
    language = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    if language in (None, "python", "python3", "ipython"):
        source = TransformerManager().transform_cell(cells[0].source)  # pyright: ignore[reportUnknownMemberType]
        try:
            _read_python(source, found)
        except SyntaxError as error:
            found.notes.append(f"The cell is not valid Python (line {error.lineno}: {error.msg}); it was read by line.")
            _read_lines(notebook, found)
    else:
        _read_lines(notebook, found)
    if not found.definitions and not found.notes:
        found.notes.append("The cell tagged 'parameters' assigns nothing.")
    return found


def _read_python(source: str, found: Inference) -> None:
    tree = ast.parse(source)
    comments = _comments(source)
    proposals: dict[str, Definition] = {}
    for statement in tree.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                note, kind, rules = _annotated(annotation)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                note, kind, rules = "", None, {}
            case _:
                if isinstance(statement, ast.Assign):
                    names = shown(", ".join(map(ast.unparse, statement.targets)), 40)
                    found.notes.append(f"{names} is left out: a parameter is one name with one value.")
                continue
        if not _is_name(name, found):
            continue
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        comment = next((comments[line] for line in reversed(lines) if line in comments), None)
        comment = comment or comments.get(-(statement.lineno - 1))
        default: JsonValue = None
        literal = False
        if value is not None:
            try:
                default, literal = _plain(ast.literal_eval(value)), True
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                found.notes.append(f"{name} is computed by the notebook, whose own value holds where none is given.")
        kind = kind or (_kind_of(default) if literal else T.JSON)
        if note:
            found.notes.append(f"{name}: {note}")
        if kind is T.FLOAT and isinstance(default, int) and not isinstance(default, bool):
            default = float(default)
        proposals[name] = _sound(Definition(name, kind, value is None, default, comment, rules), found)
    found.definitions.extend(proposals.values())


def _is_name(name: str, found: Inference) -> bool:
    """Whether a variable can be a parameter; what cannot, and is not the notebook's own business, is noted."""
    if name.startswith("_"):
        return False
    if why := check_name(name):
        found.notes.append(f"{shown(name, 40)} is left out: it {why}.")
    return not why


def _sound(wanted: Definition, found: Inference) -> Definition:
    """The definition, without what could not be saved."""
    try:
        check_definition(wanted)
    except (RuleInvalid, ParameterInvalid) as error:
        found.notes.append(f"{wanted.name}: its default is left out. {error.detail}")
        kind = (
            wanted.type if wanted.default is None else (T.JSON if _kind_of(wanted.default) is T.JSON else wanted.type)
        )
        return Definition(wanted.name, kind, wanted.required, None, wanted.description, {})
    return wanted


def _plain(value: object) -> JsonValue:
    """A Python literal as JSON; raises ``ValueError`` for one that JSON cannot say."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[object]", value)]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in cast("set[object]", value)), key=repr)
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        if all(isinstance(key, str) for key in items):
            return {str(key): _plain(item) for key, item in items.items()}
    raise ValueError(f"no JSON for {value!r}")


def _kind_of(value: JsonValue) -> ParameterType:
    if isinstance(value, bool):
        return T.BOOLEAN
    for python, kind in ((int, T.INTEGER), (float, T.FLOAT), (str, T.STRING), (list, T.LIST)):
        if isinstance(value, python):
            return kind
    return T.JSON


def _annotated(node: ast.expr) -> tuple[str, ParameterType | None, dict[str, JsonValue]]:
    """What an annotation says: a note where it says nothing that is known, the type, and rules."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            node = ast.parse(node.value, mode="eval").body
        except SyntaxError:
            return "its annotation is not understood.", None, {}
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _annotated(left)
        case ast.Subscript(value=ast.Name(id="Optional") | ast.Attribute(attr="Optional"), slice=inner):
            return _annotated(inner)
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=inner):
            try:
                options = ast.literal_eval(inner)
            except ValueError:
                return "its annotation is not understood.", None, {}
            values = cast(
                "list[JsonValue]", list(cast("tuple[Any, ...]", options)) if isinstance(options, tuple) else [options]
            )
            kinds = {_kind_of(value) for value in values}
            return "", kinds.pop() if len(kinds) == 1 else T.JSON, {"options": values}
        case ast.Subscript(value=inner):
            return _annotated(inner)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _NAMED:
            return "", _NAMED[name], {}
        case _:
            return f"its annotation {ast.unparse(node)!r} is not a type of parameters.", None, {}


def _comments(source: str) -> dict[int, str]:
    """Comments by line: behind code under the line's number, on a line of their own under its negative."""
    found: dict[int, str] = {}
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            alone = not lines[line - 1][: token.start[1]].strip()
            text = token.string.lstrip("#").strip()
            if text:
                found[-line if alone else line] = text
    return found


def _read_lines(notebook: NotebookNode, found: Inference) -> None:
    """Papermill's inspection, where it has one for the language."""
    # Papermill stumbles over cells that have no tags at all.
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    try:
        inspected = cast("list[Any]", _infer_parameters(NotebookNode({**notebook, "cells": tagged})))
    except Exception as error:  # noqa: BLE001 - Papermill raises many kinds for a language or a cell that it does not know
        found.notes.append(f"Papermill cannot inspect the cell: {error}")
        return
    for parameter in inspected:
        if check_name(parameter.name):
            continue
        try:
            default = _plain(ast.literal_eval(parameter.default))
        except (ValueError, SyntaxError):
            default = None
        named = _NAMED.get(parameter.inferred_type_name)
        kind = named or _kind_of(default)
        wanted = Definition(parameter.name, kind, default=default, description=parameter.help or None)
        found.definitions.append(_sound(wanted, found))
    if not inspected:
        found.notes.append("Papermill tells nothing of the parameters of a notebook in this language.")
