# nbformat and Papermill ship no types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The notebook on its way through the press: read, given its parameters, cleaned, written."""

import os
from typing import Any, cast

import nbformat
import nbformat.v4
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbformat import NotebookNode, reader
from nbformat.corpus.words import generate_corpus_id
from papermill.exceptions import PapermillException
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.parameterize import parameterize_notebook
from papermill.translators import translate_parameters
from papermill.utils import find_first_tagged_cell_index, nb_kernel_name
from papermill.version import version as papermill_version

from pressroom.press.events import Reason
from pressroom.press.launch import Launch
from pressroom.press.masks import MARK, Masks

_COMMENT = "Parameters"


class NotUsable(Exception):
    """The notebook, its parameters or its kernel cannot be used; says why in a sentence."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def read(request: dict[str, Any]) -> tuple[NotebookNode, str, Launch]:
    """The notebook of a request as it lies on disk, the name of its kernel, and how that is started. Raises
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
    return notebook, kernel_name, Launch.of(kernel_name, spec, os.environ)


def prepare(notebook: NotebookNode, request: dict[str, Any], launch: Launch) -> tuple[NotebookNode, Masks | None]:
    """The notebook to be executed: with the parameters of the request in it, a mark in place of each secret, and
    without the marks of older errors; and what keeps the secrets out of it, if there are any. Raises
    :class:`NotUsable`."""
    secrets, code = request["secrets"], ""
    if parameters := request["parameters"] | dict.fromkeys(secrets, MARK):
        comment = f"{_COMMENT}; {MARK} stands for a secret" if secrets else _COMMENT
        try:
            nb_kernel_name(notebook, launch.name)
            notebook = cast(
                "NotebookNode",
                parameterize_notebook(
                    notebook, parameters, comment=comment, kernel_name=launch.name, language=launch.language
                ),
            )
            if secrets:
                code = translate_parameters(launch.name, launch.language, parameters | secrets, _COMMENT)
        except (PapermillException, NotImplementedError, ValueError) as error:
            raise NotUsable(
                Reason.NOTEBOOK_INVALID, f"Parameters cannot be given to a notebook in {launch.language}: {error}"
            ) from error
    notebook = remove_error_markers(notebook)
    index = find_first_tagged_cell_index(notebook, "injected-parameters")
    return notebook, Masks(secrets, index, code) if secrets else None


def _parsed(data: bytes) -> NotebookNode:
    """A notebook as Papermill loads it, but parsed and validated once."""
    notebook = cast("NotebookNode", reader.reads(data.decode()))
    if notebook.nbformat != 4:
        raise ValueError(f"it is in version {notebook.nbformat} of the notebook format, not 4")
    if notebook.nbformat_minor >= 5:
        known = set[str]()
        for cell in notebook.cells:
            # Tools that do not know ids of cells leave them out, or copy them.
            if "id" not in cell or cell["id"] in known:
                cell["id"] = generate_corpus_id()
            known.add(cell["id"])
    nbformat.validate(notebook)
    notebook = cast("NotebookNode", nbformat.v4.upgrade(notebook) or notebook)
    unknown = {"default_parameters": {}, "parameters": {}, "environment_variables": {}, "version": papermill_version}
    notebook.metadata.setdefault("papermill", nbformat.from_dict(unknown))
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
        cell.metadata.setdefault("papermill", NotebookNode())
    return notebook


def serialise(notebook: NotebookNode) -> bytes:
    """The notebook as a file; lone surrogates, which no encoding holds, become escapes."""
    text = nbformat.v4.writes(notebook)
    return text.encode("utf-8", "backslashreplace") + b"\n"
