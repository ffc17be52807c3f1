# nbconvert and nbformat ship no types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A notebook as a web page that stands alone, and the headers under which a stranger's page is served.

The page loads nothing: its styles, its images and its scripts are in it. A notebook's outputs may hold any HTML and
any script, so what keeps them from acting as the person who looks is not that they are cleaned (charts are scripts),
but that the browser is told to give them no rights: :data:`SANDBOX`.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, cast

from nbconvert import HTMLExporter
from nbformat import NotebookNode
from traitlets.config import Config

from pressroom.errors import NotebookInvalid
from pressroom.notebooks import files

HTML = "text/html; charset=utf-8"
"""The media type of a page."""
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:; "
    "media-src data:; connect-src 'none'; form-action 'none'; base-uri 'none'"
)
SANDBOX: Mapping[str, str] = MappingProxyType(
    {
        # An origin of its own: no cookies, no storage, no requests, no forms, no windows, no navigation but its own.
        "Content-Security-Policy": f"sandbox allow-scripts; {_POLICY}; frame-ancestors 'self'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)
"""The headers of an answer that is a rendered notebook. Without them, its scripts act as whoever is signed in."""

# MathJax, RequireJS, Mermaid and the widgets' manager would come from a CDN. The policy stands in the page too, for
# where no header goes with it: a report in an e-mail, a file on a disk.
_TEMPLATE = f"""\
{{%- extends 'index.html.j2' -%}}
{{%- block html_head_js -%}}
<meta http-equiv="Content-Security-Policy" content="{_POLICY}" />
{{%- endblock html_head_js -%}}
{{%- block jupyter_widgets -%}}{{%- endblock jupyter_widgets -%}}
{{%- block html_head_js_mathjax -%}}{{%- endblock html_head_js_mathjax -%}}
{{%- block html_head_js_mermaidjs -%}}{{%- endblock html_head_js_mermaidjs -%}}
"""
_PRIORITY = [
    "application/javascript",
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]
_ATTACHMENT = re.compile(r"attachment:([^\s()<>\"']+)")
_NOTHING = {"image/png": ""}


def to_html(notebook: bytes, *, hide_input: bool) -> bytes:
    """The page of a notebook, in UTF-8; ``hide_input`` leaves out the code and the prompts.

    Images of outputs and attachments of Markdown cells are embedded. An image that Markdown names by a path or an
    address is not: nothing is read from this machine's disks or fetched for it. Blocks for as long as the rendering
    takes, a second for each few megabytes: call it in a thread.

    Raises :class:`NotebookInvalid` for what is not a notebook, or one that cannot be rendered.
    """
    content = files.parse(notebook, "The notebook")
    content.metadata.pop("widgets", None)
    for cell in content.cells:
        _complete(cell)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _has_a_look(output)]
    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": _PRIORITY}}),
        raw_template=_TEMPLATE,
        embed_images=False,
        exclude_input=hide_input,
        exclude_input_prompt=hide_input,
        exclude_output_prompt=hide_input,
    )
    try:
        page, _ = exporter.from_notebook_node(content, resources={"metadata": {"name": _title(content), "path": ""}})
    except Exception as error:  # whatever a template stumbles over in a strange notebook, it is the notebook's fault
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise NotebookInvalid("The notebook", f"cannot be rendered: {line[:300]}") from error
    return page.encode("utf-8", "backslashreplace")


def _title(notebook: NotebookNode) -> str:
    """The name of the file that was executed, as Papermill notes it."""
    papermill = cast("dict[str, Any]", notebook.metadata).get("papermill")
    path = cast("dict[str, Any]", papermill).get("input_path") if isinstance(papermill, dict) else None
    return PurePosixPath(path).stem if isinstance(path, str) and path else "Notebook"


def _has_a_look(output: NotebookNode) -> bool:
    """Whether there is something of an output for a page. Of a recorded result alone there is not: nbconvert would show
    nothing of it, and warn each time."""
    return "data" not in output or any(kind in output.data for kind in _PRIORITY)


def _complete(cell: NotebookNode) -> None:
    """Give Markdown the attachments that it names and lacks, as pictures of nothing: nbconvert would give up."""
    if cell.cell_type != "markdown" or "attachment:" not in cell.source:
        return
    attachments = cell.setdefault("attachments", {})
    for name in _ATTACHMENT.findall(cell.source):
        if not attachments.get(name):
            attachments[name] = _NOTHING
