# nbformat and Papermill ship no types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The notebook on its way through the press: read, given its parameters, cleaned, written."""

import os
from typing import Any, cast

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from papermill.utils import nb_kernel_name

from pressroom.press.events import Reason


class NotUsable(Exception):
    """The notebook, its parameters or its kernel cannot be used; says why in a sentence."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def prepare(request: dict[str, Any]) -> tuple[NotebookNode, str]:
    """The notebook of a request, with its parameters in it, and the name of its kernel. Raises :class:`NotUsable`."""
    path, limit = request["input_path"], request["max_notebook_bytes"]
    try:
        with os.fdopen(request["fds"][0], "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise NotUsable(Reason.NOTEBOOK_INVALID, f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise NotUsable(Reason.NOTEBOOK_INVALID, f"{path} is larger than {limit / 2**20:g} MiB, the limit.")
    try:
        notebook = _parsed(data)
        prepare_notebook_metadata(notebook, path, request["output_path"])
    except Exception as error:  # whatever nbformat stumbles over in a malformed file, it is the file's fault
        line = (str(error) or type(error).__name__).splitlines()[0]
        raise NotUsable(Reason.NOTEBOOK_INVALID, f"{path} is not a valid notebook: {line[:300]}") from error
    kernel_name = request["kernel_name"] or notebook.metadata.get("kernelspec", {}).get("name") or "python3"
    known = KernelSpecManager().get_all_specs()
    if kernel_name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise NotUsable(
            Reason.KERNEL_UNAVAILABLE, f"There is no kernel named {kernel_name!r}; those that exist: {names}."
        )
    language = known[kernel_name]["spec"].get("language")
    if parameters := request["parameters"]:
        try:
            nb_kernel_name(notebook, kernel_name)
            notebook = cast(
                "NotebookNode",
                parameterize_notebook(notebook, parameters, kernel_name=kernel_name, language=language),
            )
        except (PapermillException, NotImplementedError, ValueError) as error:
            raise NotUsable(
                Reason.NOTEBOOK_INVALID, f"Parameters cannot be given to a notebook in {language}: {error}"
            ) from error
    return remove_error_markers(notebook), kernel_name


def _parsed(data: bytes) -> NotebookNode:
    notebook = cast("NotebookNode", nbformat.reads(data, as_version=nbformat.NO_CONVERT))
    if notebook.nbformat != 4:
        raise ValueError(f"it is in version {notebook.nbformat} of the notebook format, not 4")
    notebook = cast("NotebookNode", load_notebook_node(notebook))
    nbformat.validate(notebook)
    return notebook


def coalesce(notebook: NotebookNode) -> None:
    """Join the pieces of text that a cell wrote to one stream without anything between them."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        joined: list[NotebookNode] = []
        pieces: list[str] = []
        for output in cell.outputs:
            if pieces and output.output_type == "stream" and joined[-1].name == output.name:
                pieces.append(output.text)
                continue
            if pieces:
                joined[-1].text = "".join(pieces)
            joined.append(output)
            pieces = [output.text] if output.output_type == "stream" else []
        if pieces:
            joined[-1].text = "".join(pieces)
        cell.outputs = joined


def serialise(notebook: NotebookNode) -> bytes:
    """The notebook as a file; lone surrogates, which no encoding holds, become escapes."""
    text = cast("str", nbformat.writes(notebook))
    return text.encode("utf-8", "backslashreplace") + b"\n"
