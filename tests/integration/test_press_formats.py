"""What the press keeps of the notebook format, and of what kernels do."""

import base64
import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest

from presses import execute, made, opened, succeeded
from pressroom.press import Output, Reason


def stream(outputs: list[Any], name: str = "stdout") -> str:
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == name)


async def test_a_display_is_updated_in_every_cell_that_shows_it(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press,
            tmp_path,
            "handle = display('draft', display_id='shown'); print('between')",
            "display('draft', display_id='shown'); display('other', display_id='other');",
            "handle.update('final')",
            "handle.display('last')",
        )
    first, second, third, fourth = (succeeded(executed).outputs(index) for index in range(4))
    assert [first[0].data["text/plain"], first[1].text] == ["'last'", "between\n"]
    assert [o.data["text/plain"] for o in second] == ["'last'", "'other'"]
    assert third == []
    assert [o.data["text/plain"] for o in fourth] == ["'last'"]


async def test_clearing_takes_what_was_shown_and_waits_for_the_next(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press,
            tmp_path,
            "from IPython.display import clear_output\nfor i in range(3): clear_output(wait=True); print(i)",
            "print('kept'); clear_output(wait=True)",
            "print('gone'); clear_output()",
            "display('gone'); clear_output(); print('new'); display(1)",
        )
    outputs = [succeeded(executed).outputs(index) for index in range(4)]
    assert [stream(found) for found in outputs] == ["2\n", "kept\n", "", "new\n"]
    assert [len(found) for found in outputs] == [1, 1, 0, 2]


async def test_the_state_of_widgets_is_kept_as_they_were_last(tmp_path: Path) -> None:
    async with opened(preload=("ipywidgets",)) as press:
        executed = await execute(
            press, tmp_path, "import ipywidgets\nslider = ipywidgets.IntSlider(3)\nslider", "slider.value = 7"
        )
    (shown,) = succeeded(executed).outputs(0)
    model = shown.data["application/vnd.jupyter.widget-view+json"]["model_id"]
    kept = executed.notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]
    assert kept["version_major"] == 2
    assert kept["state"][model]["model_name"] == "IntSliderModel"
    assert kept["state"][model]["state"]["value"] == 7


@pytest.mark.parametrize("last", ["1 / 0", "import sys; sys.exit(0)", "import sys; sys.exit(3)", "1"])
async def test_language_and_widgets_are_in_the_output_however_the_last_cell_ended(tmp_path: Path, last: str) -> None:
    async with opened() as press:
        executed = await execute(press, tmp_path, "import ipywidgets\nipywidgets.IntSlider(3)", last, "'never'")
    metadata = executed.notebook.metadata
    assert (metadata.language_info.name, metadata.language_info.file_extension) == ("python", ".py")
    kept = metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert "IntSliderModel" in [model["model_name"] for model in kept.values()]


async def test_widgets_are_in_the_output_of_a_notebook_whose_kernel_died(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press, tmp_path, "import ipywidgets\nipywidgets.IntSlider(3)", "import os, signal; os.kill(os.getpid(), 9)"
        )
    assert executed.finished.reason is Reason.KERNEL_DIED
    assert "widgets" in executed.notebook.metadata


async def test_the_two_streams_and_what_is_displayed_between_stay_apart(tmp_path: Path) -> None:
    source = """
import sys
print("a"); print("b", flush=True); display(1); print("c"); print("err", file=sys.stderr, flush=True)
"""
    async with opened() as press:
        executed = succeeded(await execute(press, tmp_path, source))
    outputs = executed.outputs(0)
    assert [o.output_type for o in outputs].count("display_data") == 1
    assert (outputs[0].text, outputs[1].data["text/plain"]) == ("a\nb\n", "1")
    assert (stream(outputs[2:]), stream(outputs, "stderr")) == ("c\n", "err\n")
    assert len(outputs) == 4


async def test_a_cell_tagged_to_be_skipped_is_not_executed(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(press, tmp_path, "a = 1", ("a = 2", ["skip-execution"]), "print(a)")
    assert succeeded(executed).started() == [0, 2]
    assert executed.text() == "1\n"
    assert executed.notebook.cells[1].execution_count is None


async def test_after_an_error_later_cells_are_not_executed_and_what_was_put_out_is_kept(tmp_path: Path) -> None:
    notebook = made("print('one'); display(2)", "print('three')\nraise KeyError('four')", "print('five')", "6")
    for cell in notebook.cells:
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="stale")]
        cell.execution_count = 99
    async with opened() as press:
        executed = await execute(press, tmp_path, notebook)
    assert executed.finished.reason is Reason.CELL_ERROR
    assert (executed.started(), executed.failed()) == ([0, 1], [1])
    assert [o.output_type for o in executed.outputs(0)] == ["stream", "display_data"]
    assert [o.output_type for o in executed.outputs(1)] == ["stream", "error"]
    assert [executed.outputs(2), executed.outputs(3)] == [[], []]
    assert [cell.execution_count for cell in executed.notebook.cells] == [1, 2, None, None]


async def test_a_request_for_input_names_the_remedy_and_the_kernel_goes_on(tmp_path: Path) -> None:
    asks = ("import getpass\ngetpass.getpass()", ["raises-exception"])
    async with opened() as press:
        executed = await execute(press, tmp_path, asks, "print('on')")
    (error,) = [o for o in succeeded(executed).outputs(0) if o.output_type == "error"]
    assert error.ename == "StdinNotImplementedError"
    assert "does not support input requests" in error.evalue
    assert executed.text() == "on\n"


async def test_cells_and_notebook_are_timed_as_papermill_does(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(press, tmp_path, "a = 1", "1 / 0", "a", parameters={"a": 3})
    injected, first, second, third = (cell.metadata.papermill for cell in executed.notebook.cells)
    assert [m.status for m in (injected, first, second)] == ["completed", "completed", "failed"]
    assert [m.exception for m in (injected, first, second)] == [False, False, True]
    whole = executed.notebook.metadata.papermill
    assert whole.exception is True
    ends = []
    for metadata in (injected, first, second, whole):
        start, end = (datetime.fromisoformat(metadata[name]) for name in ("start_time", "end_time"))
        assert abs(metadata.duration - (end - start).total_seconds()) < 1e-3
        ends.append((start, end))
    assert ends[3][0] <= ends[0][0] <= ends[0][1] <= ends[1][0] <= ends[2][1] <= ends[3][1]
    assert third.start_time is None
    assert whole.input_path == str(tmp_path / "in.ipynb")
    assert whole.output_path == str(tmp_path / "out.ipynb")
    assert whole.parameters == {"a": 3}
    assert executed.notebook.cells[0].metadata.tags == ["injected-parameters"]


async def test_a_text_of_20_mib_is_told_and_written_whole(tmp_path: Path) -> None:
    line = "0123456789" * 10
    lines = 20 * 2**20 // len(line)
    async with opened() as press:
        executed = await execute(press, tmp_path, f"for _ in range({lines}): print('{line}')")
    expected = f"{line}\n" * lines
    # Not compared in the assertion, whose explanation would take minutes.
    same = [succeeded(executed).text() == expected, stream(executed.outputs(0)) == expected]
    assert same == [True, True]


async def test_lone_surrogates_do_not_make_the_output_unreadable(tmp_path: Path) -> None:
    # The Jupyter protocol has no way to send them: what comes of the cell is the kernel's to say.
    surrogate = ("display({'text/plain': 'a\\ud800z'}, raw=True)", ["raises-exception"])
    async with opened() as press:
        executed = await execute(press, tmp_path, surrogate, "print('€ \U0001f5de \\x00 \\u2028 end')")
    assert stream(succeeded(executed).outputs(1)) == "€ \U0001f5de \x00 \u2028 end\n"
    assert all(output.output_type in {"display_data", "error"} for output in executed.outputs(0))


async def test_what_a_thread_prints_is_in_the_cell_that_waits_for_it(tmp_path: Path) -> None:
    source = "import threading\nt = threading.Thread(target=print, args=('from a thread',))\nt.start(); t.join()"
    async with opened() as press:
        executed = succeeded(await execute(press, tmp_path, source, "print('next')"))
    assert [stream(executed.outputs(index)) for index in (0, 1)] == ["from a thread\n", "next\n"]


@pytest.mark.parametrize(
    "source",
    [
        'os.write(1, b"low\\n")',
        'subprocess.run(["echo", "low"], check=True)',
        'import ctypes; libc = ctypes.CDLL(None); libc.puts(b"low"); libc.fflush(None)',
    ],
    ids=["os.write", "subprocess", "C"],
)
async def test_what_is_written_to_the_descriptor_is_an_output(tmp_path: Path, source: str) -> None:
    async with opened() as press:
        executed = succeeded(await execute(press, tmp_path, f"import os, subprocess\n{source}", "print('next')"))
    assert [stream(executed.outputs(index)) for index in (0, 1)] == ["low\n", "next\n"]
    assert executed.text() == "low\nnext\n"


async def test_shell_magics_put_out_both_streams_and_fail_with_their_status(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press, tmp_path, "!echo line", "%%bash\necho out\necho err >&2", "%%bash\nexit 3", "print('never')"
        )
    assert stream(executed.outputs(0)).replace("\r", "") == "line\n"
    assert (stream(executed.outputs(1)), stream(executed.outputs(1), "stderr")) == ("out\n", "err\n")
    assert (executed.finished.reason, executed.finished.ename) == (Reason.CELL_ERROR, "CalledProcessError")
    assert executed.failed() == [2]


async def test_figures_are_shown_once_at_the_end_of_their_cell(tmp_path: Path) -> None:
    plot = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); print('before')"
    async with opened(preload=("matplotlib.pyplot",)) as press:
        # The second without the magic: inline is what a kernel takes by itself.
        executed = [await execute(press, tmp_path, source) for source in (plot, plot.partition("\n")[2])]
    for one in executed:
        first, *figures = succeeded(one).outputs(0)
        assert first.text == "before\n"
        (figure,) = [output for output in figures if "image/png" in output.data]
        assert base64.b64decode(figure.data["image/png"]).startswith(b"\x89PNG\r\n\x1a\n")
        assert figure.data["text/plain"].startswith("<Figure size ")


async def test_every_representation_of_a_display_is_kept_with_its_metadata(tmp_path: Path) -> None:
    data = {"text/html": "<b>1</b>", "application/json": {"a": [1, None, {}]}, "text/latex": "$x$", "text/plain": "x"}
    metadata = {"text/html": {"isolated": True}}
    async with opened() as press:
        executed = await execute(press, tmp_path, f"display({data}, metadata={metadata}, raw=True)", "'result'")
    (shown,) = succeeded(executed).outputs(0)
    assert (shown.data, shown.metadata) == (data, metadata)
    (result,) = executed.outputs(1)
    assert result.output_type == "execute_result"
    assert (result.execution_count, result.data) == (2, {"text/plain": "'result'"})


async def test_tasks_go_on_over_cells_and_cells_may_await(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press,
            tmp_path,
            "import asyncio\ngate = asyncio.Event()\nasync def work():\n    await gate.wait(); return 'done'",
            "task = asyncio.create_task(work())\nawait asyncio.sleep(0)",
            "gate.set(); print(await task)",
        )
    assert succeeded(executed).text() == "done\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [("import sys; sys.exit(0)", None), ("raise SystemExit(0)", None), ("import sys; sys.exit(2)", Reason.CELL_ERROR)],
)
async def test_an_exit_ends_the_notebook_and_fails_it_with_a_status_alone(
    tmp_path: Path, source: str, reason: Reason | None
) -> None:
    async with opened() as press:
        executed = await execute(press, tmp_path, source, "print('never')")
    assert (executed.finished.reason, executed.text()) == (reason, "")
    assert executed.started() == [0]


async def test_exit_as_a_command_stops_the_kernel(tmp_path: Path) -> None:
    async with opened() as press:
        executed = await execute(
            press, tmp_path, "print('kept')", "exit()", "import asyncio; await asyncio.Event().wait()"
        )
    assert executed.finished.reason is Reason.KERNEL_DIED
    assert stream(executed.outputs(0)) == "kept\n"


@pytest.mark.parametrize(
    "source",
    ["raise KeyboardInterrupt", "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"],
)
async def test_an_interrupt_from_within_is_an_error_of_its_cell(tmp_path: Path, source: str) -> None:
    async with opened() as press:
        executed = await execute(press, tmp_path, source, "print('never')")
    assert (executed.finished.reason, executed.finished.ename) == (Reason.CELL_ERROR, "KeyboardInterrupt")
    assert executed.outputs(0)[-1].ename == "KeyboardInterrupt"


async def test_a_kernel_that_dies_keeps_what_it_put_out_in_that_cell(tmp_path: Path) -> None:
    source = "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)"
    async with opened() as press:
        executed = await execute(press, tmp_path, source, "print('never')")
    assert executed.finished.reason is Reason.KERNEL_DIED
    assert "SIGSEGV" in executed.finished.message
    assert [e.index for e in executed.events if isinstance(e, Output)] in ([0], [])


async def test_a_kernel_of_another_language_takes_parameters(tmp_path: Path) -> None:
    cells: list[Any] = [("name=nobody", ["parameters"]), 'echo "hello $name"', "echo oops >&2; false", "echo never"]
    async with opened() as press:
        notebook = made(*cells, kernel="bash", language="bash")
        executed = await execute(press, tmp_path, notebook, parameters={"name": "ana o'hara"})
    assert "hello ana o'hara" in executed.text()
    assert executed.notebook.cells[1].metadata.tags == ["injected-parameters"]
    assert executed.notebook.metadata.kernelspec.name == "bash"
    assert "never" not in executed.text()


async def test_a_kernel_is_the_interpreter_of_its_spec(tmp_path: Path) -> None:
    source = "import json, os, sys; print(json.dumps([sys.executable, sys.prefix, os.getpid()]))"
    async with opened() as press:
        executable, prefix, pid = json.loads(succeeded(await execute(press, tmp_path, source)).text())
    assert Path(executable).samefile(sys.executable)
    assert prefix == sys.prefix
    assert pid != os.getpid()
