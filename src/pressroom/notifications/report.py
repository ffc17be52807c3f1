# nbformat ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What an e-mail says of an execution, as text and as HTML. Everything here blocks: call it in a thread."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from nbconvert.filters import strip_ansi

from pressroom.database.models import Execution
from pressroom.errors import PressroomError, shown
from pressroom.notebooks import outputs
from pressroom.notebooks.failing_cell import failing_cell
from pressroom.notebooks.places import Places
from pressroom.notebooks.rendering import to_html
from pressroom.notifications.schemas import Event
from pressroom.notifications.service import Telling
from pressroom.settings import MEBIBYTE, Settings

REPORT_BYTES = 10 * MEBIBYTE
"""The largest rendered report that is sent."""
_SOURCE_LENGTH = 10_000
_TRACEBACK_LENGTH = 20_000
_PARAMETERS_LENGTH = 2_000
_SAYINGS = {
    Event.SUCCEEDED: "succeeded",
    Event.FAILED: "failed",
    Event.CANCELLED: "was cancelled",
    Event.LATE: "is late",
}
_STYLE = "font-family:sans-serif;font-size:14px;color:#222"
_PRE = "background:#f5f5f5;padding:8px;white-space:pre-wrap;font-size:12px"


@dataclass(frozen=True, slots=True)
class Report:
    """An e-mail's contents. ``page``: the rendered notebook, ``None`` where there is none to send."""

    subject: str
    text: str
    html: str
    page: bytes | None


def report(settings: Settings, places: Places, told: Telling) -> Report:
    """What is to be said of an event. What cannot be read or rendered is said so, and left out."""
    title = f"{shown(told.name, 120)} {_SAYINGS[told.event]}"
    sections: list[tuple[str, str]] = []
    notes: list[str] = []
    page: bytes | None = None
    try:
        if told.event is Event.SUCCEEDED:
            page = _page(places, told.execution)
        elif told.event is Event.FAILED and (cell := failing_cell(settings, places, told.execution)) is not None:
            raised = strip_ansi(cell.traceback) or (told.execution.error_message or "")
            sections = [
                (f"Cell {cell.index + 1}, which failed", _cut(cell.source, _SOURCE_LENGTH)),
                ("What it raised", _cut(raised, _TRACEBACK_LENGTH, keep_end=True)),
            ]
    except PressroomError as error:
        notes.append(f"The notebook that it wrote is not shown here: {error.detail}")
    if page is not None and len(page) > REPORT_BYTES:
        page = None
        notes.append(f"The report is not attached: it is larger than {REPORT_BYTES // MEBIBYTE} MiB.")
    if told.execution.error_message and told.event is not Event.LATE:
        notes.insert(0, strip_ansi(told.execution.error_message[:_SOURCE_LENGTH]))
    facts = _facts(told.execution)
    link = f"{settings.public_url}/db/executions/{told.execution.id}/html" if settings.public_url else None
    return Report(
        subject=title,
        text=_as_text(title, notes, facts, sections, link),
        html=_as_html(title, notes, facts, sections, link),
        page=page,
    )


def _facts(execution: Execution) -> list[tuple[str, str]]:
    facts = [
        ("Execution", str(execution.id)),
        ("Notebook", execution.input_path),
        ("User", execution.username),
        ("Started", execution.started_at.isoformat(" ", "seconds")),
    ]
    if execution.completed_at is not None:
        facts.append(("Ended", execution.completed_at.isoformat(" ", "seconds")))
    if execution.execution_time_seconds is not None:
        facts.append(("Took", f"{execution.execution_time_seconds} s"))
    if execution.cells_total:
        facts.append(("Cells", f"{execution.cells_completed} of {execution.cells_total}"))
    if execution.parameters_used:
        facts.append(("Parameters", shown(json.dumps(execution.parameters_used), _PARAMETERS_LENGTH)))
    if execution.output_path:
        facts.append(("Output", execution.output_path))
    return [(name, shown(value, _PARAMETERS_LENGTH)) for name, value in facts]


def _page(places: Places, execution: Execution) -> bytes | None:
    if execution.output_path is None:
        return None
    return to_html(outputs.read(places, execution, 2 * REPORT_BYTES), hide_input=False)


def _cut(text: str, length: int, *, keep_end: bool = False) -> str:
    if len(text) <= length:
        return text
    return f"[...]\n{text[-length:]}" if keep_end else f"{text[:length]}\n[...]"


def _as_text(
    title: str,
    notes: Sequence[str],
    facts: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, str]],
    link: str | None,
) -> str:
    lines = [f"{title}.", ""]
    for note in notes:
        lines += [note, ""]
    lines += [f"{name + ':':12}{value}" for name, value in facts]
    for heading, body in sections:
        lines += ["", f"{heading}:", "", body]
    if link is not None:
        lines += ["", link]
    return _plain("\n".join(lines) + "\n")


def _as_html(
    title: str,
    notes: Sequence[str],
    facts: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, str]],
    link: str | None,
) -> str:
    rows = "".join(
        f'<tr><td style="padding-right:16px">{escape(name)}</td><td>{escape(value)}</td></tr>' for name, value in facts
    )
    parts = [f"<h2>{escape(title)}</h2>"]
    parts += [f'<p style="white-space:pre-wrap">{escape(note)}</p>' for note in notes]
    parts.append(f"<table>{rows}</table>")
    parts += [f'<h3>{escape(heading)}</h3><pre style="{_PRE}">{escape(body)}</pre>' for heading, body in sections]
    if link is not None:
        parts.append(f'<p><a href="{escape(link)}">See the executed notebook</a></p>')
    body = "\n".join(parts)
    return _plain(f'<!DOCTYPE html>\n<html><body style="{_STYLE}">\n{body}\n</body></html>\n')


def _plain(text: str) -> str:
    """``text`` without what no mail can carry: halves of characters, and controls other than line ends and tabs."""
    kept = "".join(c if c in "\n\t" or c >= " " else "\N{REPLACEMENT CHARACTER}" for c in text.replace("\r\n", "\n"))
    return kept.encode("utf-8", "replace").decode()
