"""What a notebook put into the name or the content of something, on a terminal and in the headers of an answer."""

import io

import pytest

from pressroom.cli import compare
from pressroom.executions import result_endpoints
from pressroom.executions.comparison import Compared


def test_a_column_is_shown_as_it_is_called_and_nothing_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"id": [1, 2], "results.[/x]": ["\x1b[2J", 1.5], "results.\x1b]0;": ["[bold]a", None]}
    compare._show(Compared(columns), None)
    shown = capsys.readouterr().out
    assert "results.[/x]" in shown
    assert "[bold]a" in shown
    assert "\x1b" not in shown


def test_a_file_that_grows_is_sent_up_to_the_length_that_was_told() -> None:
    file = io.BytesIO(b"12345 and more")
    assert b"".join(result_endpoints._pieces(file, 5)) == b"12345"
    assert file.closed


def test_what_is_no_media_type_is_none_in_a_header() -> None:
    headers = result_endpoints._headers("image/ŵ\r\nx", "a.png")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment")
