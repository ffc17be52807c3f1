"""Texts of the code on the pages of the reference that are made from it."""

import pytest

from table_text import cell, prose


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("An id is ``id``, or `id`.", "An id is `id`, or `id`."),
        ("Less than < and `a < b`", "Less than &lt; and `a < b`"),
        ('The next page, `<...>; rel="next"`.', 'The next page, `<...>; rel="next"`.'),
        ("It is signed as [they say](https://example.com/a).", "It is signed as [they say](https://example.com/a)."),
        ("Extras: pressroom[mlflow], `x[0]`", r"Extras: pressroom\[mlflow], `x[0]`"),
        ("\bNot\fwrapped ", "Notwrapped"),
    ],
)
def test_a_description_reads_in_markdown_as_it_was_meant(text: str, made: str) -> None:
    assert prose(text) == made


def test_a_description_in_a_table_is_one_line_that_ends_no_cell() -> None:
    assert cell("`{{ at | date }}`,\n  or a | b") == r"`{{ at \| date }}`, or a \| b"
