# nbformat and Papermill ship no types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The notebook on its way through the press: read, given its parameters, cleaned, written."""

import os
from typing import Any, cast

import nbformat
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from papermill.utils import nb_kernel_name

from pressroom.press.events import Reason
from pressroom.press.servers import Launch


class NotUsable(Exception):
    """The notebook, its parameters or its kernel cannot be used; says why in a sentence."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def prepare(request: dict[str, Any]) -> tuple[NotebookNode, str, Launch]:
    """The notebook of a request, with its parameters in it, the name of its kernel, and how that is started. Raises
    :class:`NotUsable`."""
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
    specs = KernelSpecManager()
    try:
        spec = specs.get_kernel_spec(kernel_name)
    except (NoSuchKernel, ValueError) as error:
        names = ", ".join(sorted(specs.find_kernel_specs())) or "none"
        raise NotUsable(
            Reason.KERNEL_UNAVAILABLE, f"There is no kernel named {kernel_name!r}; those that exist: {names}."
        ) from error
    if parameters := request["parameters"]:
        try:
            nb_kernel_name(notebook, kernel_name)
            notebook = cast(
                "NotebookNode",
                parameterize_notebook(notebook, parameters, kernel_name=kernel_name, language=spec.language),
            )
        except (PapermillException, NotImplementedError, ValueError) as error:
            raise NotUsable(
                Reason.NOTEBOOK_INVALID, f"Parameters cannot be given to a notebook in {spec.language}: {error}"
            ) from error
    return remove_error_markers(notebook), kernel_name, Launch.of(kernel_name, spec, os.environ)


def _parsed(data: bytes) -> NotebookNode:
    notebook = cast("NotebookNode", nbformat.reads(data, as_version=nbformat.NO_CONVERT))
    if notebook.nbformat != 4:
        raise ValueError(f"it is in version {notebook.nbformat} of the notebook format, not 4")
    notebook = cast("NotebookNode", load_notebook_node(notebook))
    nbformat.validate(notebook)
    return notebook


def serialise(notebook: NotebookNode) -> bytes:
    """The notebook as a file; lone surrogates, which no encoding holds, become escapes."""
    text = nbformat.v4.writes(notebook)
    return text.encode("utf-8", "backslashreplace") + b"\n"
