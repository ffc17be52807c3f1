"""Notebooks as web pages that stand alone."""

import json
import re
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from pressroom.errors import NotebookInvalid
from pressroom.notebooks.rendering import SANDBOX, to_html

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def rendered(*cells: Any, hide_input: bool = False, **metadata: Any) -> str:
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    return to_html(nbformat.writes(notebook).encode(), hide_input=hide_input).decode()


def body(page: str) -> str:
    return page[page.index("<body") :]


def test_a_page_holds_the_code_its_outputs_and_the_text() -> None:
    output = new_output("stream", text="all done\n")
    page = body(rendered(new_markdown_cell("# Sales"), new_code_cell("answer = 42", outputs=[output])))
    assert ">Sales<" in page
    assert "answer" in page
    assert "all done" in page


def test_hiding_the_input_leaves_the_outputs_and_the_text() -> None:
    output = new_output("stream", text="all done\n")
    cells = [new_markdown_cell("# Sales"), new_code_cell("answer = 42", outputs=[output])]
    page = body(rendered(*cells, hide_input=True))
    assert "answer" not in page
    assert "In\N{NO-BREAK SPACE}[" not in page
    assert "all done" in page
    assert ">Sales<" in page


def test_a_traceback_keeps_its_colours() -> None:
    failed = new_output("error", ename="E", evalue="v", traceback=["\x1b[0;31mValueError\x1b[0m: no <b>sales</b>"])
    page = body(rendered(new_code_cell("x", outputs=[failed])))
    assert '<span class="ansi-red-fg">ValueError</span>' in page
    assert "no &lt;b&gt;sales&lt;/b&gt;" in page
    assert "\x1b" not in page


def test_images_of_outputs_and_attachments_are_in_the_page() -> None:
    drawn = new_code_cell("plot()", outputs=[new_output("display_data", data={"image/png": PIXEL})])
    text = new_markdown_cell("![logo](attachment:logo.png)", attachments={"logo.png": {"image/png": PIXEL}})
    assert body(rendered(drawn, text)).count(f"data:image/png;base64,{PIXEL}") == 2


def test_a_result_that_is_recorded_has_no_look_and_does_not_cost_the_page() -> None:
    recorded = {"application/vnd.pressroom.result+json": {"name": "rmse", "value": 0.25}}
    outputs = [new_output("display_data", data=recorded), new_output("stream", text="all done\n")]
    both = new_output("execute_result", data=recorded | {"text/plain": "a quarter"})
    page = body(rendered(new_code_cell("record()", outputs=outputs), new_code_cell("value", outputs=[both])))
    assert "all done" in page
    assert "a quarter" in page
    assert "rmse" not in page


def test_a_missing_attachment_does_not_cost_the_page() -> None:
    assert "after" in rendered(new_markdown_cell("![x](attachment:gone.png) after"))


def test_no_file_of_this_machine_gets_into_a_page(tmp_path: Any) -> None:
    (tmp_path / "secret.png").write_bytes(b"a secret")
    path = tmp_path / "secret.png"
    page = rendered(new_markdown_cell(f'![x]({path})\n\n<img src="{path}">\n\n![y](../../..{path})'))
    assert "base64" not in body(page)


def test_a_page_loads_nothing_from_anywhere() -> None:
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "IntSlider()"}
    cells = [
        new_markdown_cell("$$x^2$$\n\n```mermaid\ngraph TD\n```"),
        new_code_cell("slider", outputs=[new_output("display_data", data=widget)]),
        new_code_cell("d", outputs=[new_output("display_data", data={"text/vnd.mermaid": "graph", "text/plain": "g"})]),
    ]
    state = {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "version_minor": 0, "state": {}}}
    page = rendered(*cells, widgets=state)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.?(?:https?:)?//", page)
    assert "import(" not in page
    assert "mathjax" not in page.lower()
    assert "$$x^2$$" in page
    assert "IntSlider()" in page


def test_the_policy_is_in_the_page_too_before_anything_of_the_notebook() -> None:
    page = rendered(new_raw_cell("x"))
    assert page.index("Content-Security-Policy") < page.index("<style")
    policy = SANDBOX["Content-Security-Policy"]
    assert "sandbox allow-scripts;" in policy
    assert "default-src 'none'" in policy
    assert "allow-same-origin" not in policy


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ({"papermill": {"input_path": "/home/ana/sales.ipynb"}}, "sales"),
        ({"papermill": {"input_path": "</title><script>alert(1)</script>"}}, "script&gt;"),
        ({"papermill": ["x"]}, "Notebook"),
        ({}, "Notebook"),
    ],
)
def test_a_page_is_titled_by_the_notebook_that_was_executed(metadata: dict[str, Any], title: str) -> None:
    assert f"<title>{title}</title>" in rendered(**metadata)


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b'{"nbformat": 3}'])
def test_what_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(NotebookInvalid):
        to_html(data, hide_input=False)


@pytest.mark.parametrize(
    "metadata",
    [{"language_info": {"name": "no such language"}}, {"language_info": {"name": "x", "pygments_lexer": 3}}],
)
def test_a_strange_language_is_shown_as_text_or_refused_in_words(metadata: dict[str, Any]) -> None:
    notebook = json.loads(nbformat.writes(new_notebook(cells=[new_code_cell("x = 1")])))
    notebook["metadata"] = metadata
    try:
        page = to_html(json.dumps(notebook).encode(), hide_input=False)
    except NotebookInvalid as refused:
        assert len(refused.detail) > 30
    else:
        assert b"x = 1" in page
