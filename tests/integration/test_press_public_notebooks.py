"""Public notebooks come out of the press as they come out of Papermill over a stock kernel, a fresh one for each."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nbformat import NotebookNode

from presses import execute, opened, stock, succeeded
from pressroom.press import Press, Reason
from pressroom.press.environment import kernel_environment
from public_sources import Source, converted, placed

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # The stock path's own: old formats, and what its client leaves to the garbage collector.
    pytest.mark.filterwarnings("default"),
]

NBCLIENT = Source("nbclient", "0.11.0", "04a134a5b087f2c5887f228aca155db50169b8cd9334dee6942c8e927e56081a")
PAPERMILL = Source("papermill", "2.7.0", "ec10b37594a060662f57269e1ebd108c209d204450f00fdfeb70a1c7cfb7fbc8")
NBCONVERT = Source("nbconvert", "7.17.2", "344a218e8595117ce37396ed025d994f146d076226ebac59255a2fa085ab24d8")
IPYWIDGETS = Source("ipywidgets", "7.8.5", "927439399d75f59f43864c13d7e73b05a4de522d3ea09d6048adc5c583b55c3b")
MATPLOTLIB = Source("matplotlib", "3.11.2", "cec596316640f2b394b8f0daa0ea61a8eae82d017b620b9f202befb972a59ea4")
SKLEARN = Source("scikit-learn", "1.9.1", "629cada3e33e2b9bf376cdc7614a47a4140b8aedc1d836579e359736fbd82977")

# Left out, of the same folders: those that kill their kernel, wait for an interrupt or for another notebook, want the
# network or libraries that are not here, show the time, or draw random numbers without a seed.
NOTEBOOKS = {
    NBCLIENT: (
        "tests/files",
        (
            "Clear Output.ipynb",
            "Disable Stdin.ipynb",
            "Empty Cell.ipynb",
            "Error.ipynb",
            "Factorials.ipynb",
            "HelloWorld.ipynb",
            "Inline Image.ipynb",
            "JupyterWidgets.ipynb",
            "Other Comms.ipynb",
            "SVG.ipynb",
            "Skip Exceptions with Cell Tags.ipynb",
            "Skip Exceptions.ipynb",
            "Skip Execution with Cell Tag.ipynb",
            "Unicode.ipynb",
            "update-display-id.ipynb",
        ),
    ),
    PAPERMILL: (
        "papermill/tests/notebooks",
        (
            "broken1.ipynb",
            "broken2.ipynb",
            "complex_parameters.ipynb",
            "line_magic_error.ipynb",
            "nb_version_4.4.ipynb",
            "report_mode_test.ipynb",
            "simple_execute.ipynb",
            "sysexit1.ipynb",
            "systemexit.ipynb",
            "test_logging.ipynb",
        ),
    ),
    NBCONVERT: (
        "tests",
        (
            "exporters/files/notebook3.ipynb",
            "exporters/files/pngmetadata.ipynb",
            "exporters/files/rst_output.ipynb",
            "exporters/files/svg.ipynb",
            "files/notebook3_with_errors.ipynb",
        ),
    ),
    IPYWIDGETS: (
        "docs/source/examples",
        (
            "Layout Templates.ipynb",
            "Widget Basics.ipynb",
            "Widget Events.ipynb",
            "Widget Styling.ipynb",
        ),
    ),
    MATPLOTLIB: (
        "galleries",
        (
            "examples/lines_bars_and_markers/bar_label_demo.py",
            "examples/lines_bars_and_markers/fill_between_demo.py",
            "examples/lines_bars_and_markers/scatter_with_legend.py",
            "plot_types/arrays/contourf.py",
            "plot_types/stats/hist2d.py",
        ),
    ),
    SKLEARN: (
        "examples",
        (
            "classification/plot_digits_classification.py",
            "svm/plot_svm_margin.py",
            "tree/plot_unveil_tree_structure.py",
        ),
    ),
}
UNENDING = [
    pytest.param(NBCLIENT, "tests/files/Output.ipynb", id="nbclient:Output"),
    pytest.param(IPYWIDGETS, "docs/source/examples/Output Widget.ipynb", id="ipywidgets:Output Widget"),
    pytest.param(IPYWIDGETS, "docs/source/examples/Using Interact.ipynb", id="ipywidgets:Using Interact"),
]
"""Notebooks that write into output widgets, in which the stock client comes to wait for ever now and then.

nbclient 0.11 tells the kernel what is in such a widget, on the socket on which it waits for the reply. It sends past
asyncio, and if the reply is there already, that takes asyncio's only sign of it: it lies there unread.
"""
CASES = [
    pytest.param(source, f"{folder}/{path}", id=f"{source.name}:{Path(path).stem}")
    for source, (folder, paths) in NOTEBOOKS.items()
    for path in paths
]
FACTS = ("parameters", "default_parameters", "environment_variables", "exception")
TIMES = {"start_time", "end_time", "duration"}
BLANKED = [
    (re.compile(r"/tmp/ipykernel_\d+/\d+\.py"), "/tmp/ipykernel/cell.py"),
    # scikit-learn shortens what it shows, from the middle on.
    (re.compile(r"(?:\b0|\.\.\.)x[0-9a-fA-F]{6,}\b"), "0xADDRESS"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?"), "TIME"),
]
IDENTIFIER = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9A-Za-z])[mp][0-9a-f]{10})"
    r"(?![0-9a-f])"
)
"""Of cells, displays and widgets, and those by which matplotlib names the parts of an SVG."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def press() -> AsyncIterator[Press]:
    """One press for them all, as in a service. Its kernels see what the stock one sees: all."""
    environment = kernel_environment(os.environ, ["*"])
    async with opened(environment=environment, preload=("numpy", "matplotlib.pyplot", "ipywidgets")) as made:
        yield made


def joined(outputs: list[NotebookNode]) -> list[dict[str, Any]]:
    """Outputs with neighbouring pieces of a stream as one: how often a kernel flushes is a matter of time, and so is
    which of its two streams comes first."""
    result: list[dict[str, Any]] = []
    streams: dict[str, dict[str, Any]] = {}
    for output in json.loads(json.dumps(outputs)):
        if output["output_type"] != "stream":
            streams = {}
        elif output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
            continue
        else:
            streams[output["name"]] = output
            if output["name"] == "stdout" and result and "stderr" in streams:
                result.insert(len(result) - 1, output)
                continue
        result.append(output)
    return result


def widgets(state: dict[str, Any], shown: str) -> list[str]:
    """The state of widgets, each with those that it refers to in place of their identifiers: first those that are
    shown, in that order, then the others, which have no order."""

    def resolved(value: Any, above: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {name: resolved(part, above) for name, part in value.items()}
        if isinstance(value, list):
            return [resolved(part, above) for part in value]
        if isinstance(value, str) and value.startswith("IPY_MODEL_"):
            name = value.removeprefix("IPY_MODEL_")
            return "above" if name in above else resolved(state.get(name), (*above, name))
        return value

    texts = {name: json.dumps(resolved(model, (name,)), sort_keys=True) for name, model in state.items()}
    first = [name for name in dict.fromkeys(IDENTIFIER.findall(shown)) if name in texts]
    return [texts.pop(name) for name in first] + sorted(texts.values())


def comparable(notebook: NotebookNode, executed: list[int]) -> Any:
    """What must be equal. Identifiers are numbered in the order of their appearance.

    One difference is known: Papermill says of cells that it never reached, or that hold no code, that they are
    completed, and the press that they are pending.
    """
    cells: list[dict[str, Any]] = []
    for index, cell in enumerate(notebook.cells):
        metadata = json.loads(json.dumps(cell.metadata))
        ours = metadata.pop("papermill", {})
        told = {name: value for name, value in ours.items() if name not in TIMES}
        # Its times are asked for by name: that they are there, not what they say.
        told["timed"] = sorted(name for name in TIMES if ours.get(name) is not None)
        told["execution"] = sorted(metadata.pop("execution", {}))
        kept = {"cell_type": cell.cell_type, "source": cell.source, "metadata": metadata}
        if index in executed:
            kept["papermill"] = told
        if cell.cell_type == "code":
            kept |= {"execution_count": cell.execution_count, "outputs": joined(cell.outputs)}
        cells.append(kept)
    metadata = json.loads(json.dumps(notebook.metadata))
    ours = metadata.pop("papermill")
    facts = {name: ours.get(name) for name in FACTS}
    for kind in metadata.get("widgets", {}).values():
        kind["state"] = widgets(kind["state"], json.dumps(cells))
    text = json.dumps({"cells": cells, "metadata": metadata, "papermill": facts}, ensure_ascii=False)
    for pattern, name in BLANKED:
        text = pattern.sub(name, text)
    numbers: dict[str, str] = {}
    text = IDENTIFIER.sub(lambda found: numbers.setdefault(found[0], f"ID{len(numbers)}"), text)
    return json.loads(text)


@pytest.mark.parametrize(("source", "path"), CASES)
async def test_a_public_notebook_comes_out_as_from_papermill(
    press: Press, source: Source, path: str, tmp_path: Path
) -> None:
    notebook = await asyncio.to_thread(placed, source, path, tmp_path)
    # It names a kernel of its author's machine.
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    ours = await execute(press, tmp_path, notebook)
    raised, theirs = await asyncio.to_thread(stock, tmp_path / "in.ipynb")
    executed = ours.started()
    assert comparable(ours.notebook, executed) == comparable(theirs, executed)
    # Papermill raises for an error that its cell is tagged for; the press does not.
    meant = any("raises-exception" in cell.metadata.get("tags", []) for cell in notebook.cells)
    assert ours.finished.reason is (Reason.CELL_ERROR if raised and not meant else None)


@pytest.mark.parametrize(("source", "path"), UNENDING)
async def test_a_public_notebook_writes_into_output_widgets(
    press: Press, source: Source, path: str, tmp_path: Path
) -> None:
    notebook = await asyncio.to_thread(placed, source, path, tmp_path)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    ours = succeeded(await execute(press, tmp_path, notebook))
    state = ours.notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    written = [model["state"]["outputs"] for model in state.values() if model["model_name"] == "OutputModel"]
    assert any(written), "what is printed into an output widget is kept in it"
    if source is NBCLIENT:
        # Published with its outputs; how a widget is written in plain text is a matter of its version.
        shown = [
            [
                [o.get("text", sorted(o.get("data", []))) for o in cell.outputs]
                for cell in book.cells
                if "outputs" in cell
            ]
            for book in (ours.notebook, notebook)
        ]
        assert shown[0] == shown[1]


async def test_there_are_forty_notebooks_and_more() -> None:
    assert len(CASES) >= 40


async def test_an_example_becomes_a_notebook_whose_comments_are_text() -> None:
    script = '"""\nTitle\n"""\n\nimport os\n\n# %%\n# Some *text*\n# of two lines.\n\nprint(1)  # kept\n'
    script += "#" * 20 + "\n# End\n"
    cells = converted(script).cells
    assert [(cell.cell_type, cell.source) for cell in cells] == [
        ("code", "%matplotlib inline"),
        ("markdown", "Title"),
        ("code", "import os"),
        ("markdown", "Some *text*\nof two lines."),
        ("code", "print(1)  # kept"),
        ("markdown", "End"),
    ]
