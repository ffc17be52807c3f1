# nbformat ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The cell that an execution failed in, as its output has it."""

from dataclasses import dataclass
from typing import cast

from pressroom.database.models import Execution
from pressroom.notebooks import files, outputs
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE, Settings


@dataclass(frozen=True, slots=True)
class FailingCell:
    """The cell that raised, and what it said, which may hold ANSI colours. ``index`` is 0-based, in the output."""

    index: int
    source: str
    traceback: str


def failing_cell(settings: Settings, places: Places, execution: Execution) -> FailingCell | None:
    """The cell of the output that raised, as far as the execution knows of one. Raises :class:`PressroomError`."""
    index = (execution.failure or {}).get("cell_index")
    if execution.output_path is None or not isinstance(index, int):
        return None
    data = outputs.read(places, execution, int((settings.max_output_mb + settings.max_notebook_mb) * MEBIBYTE))
    notebook = files.parse(data, execution.output_path)
    if not 0 <= index < len(notebook.cells):
        return None
    cell = notebook.cells[index]
    raised = [output for output in cell.get("outputs", []) if output.output_type == "error"]
    lines = cast("list[str]", raised[-1].traceback) if raised else []
    return FailingCell(index, cell.source, "\n".join(lines))
