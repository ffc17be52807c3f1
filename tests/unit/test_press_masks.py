"""What a kernel puts out is searched for secrets, in whatever pieces and whichever spelling it comes."""

import asyncio
import html
import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import markupsafe
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.press.masks import MARK, Masks
from pressroom.press.process import Press, Request, Stop
from pressroom.press.run import Run


def stream(text: str) -> dict[str, Any]:
    return {"msg_type": "stream", "content": {"name": "stdout", "text": text}}


def shown(masks: Masks, pieces: Iterable[str]) -> str:
    """What is taken in of a stream that comes in pieces."""
    passed = [each for piece in pieces for each in masks.passed(stream(piece), 0)]
    texts = [each["content"]["text"] for each in [*passed, *masks.rest(0)]]
    assert all(texts)
    return "".join(texts)


words = st.lists(st.text("ab", min_size=4, max_size=9), min_size=1, max_size=4, unique=True)


@given(words, st.data())
def test_a_stream_in_pieces_is_masked_as_the_whole_is(secrets: list[str], data: st.DataObject) -> None:
    parts = st.one_of(st.sampled_from(secrets), st.text("abc", max_size=6))
    text = "".join(data.draw(st.lists(parts, max_size=8)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]
    masks = Masks({"token": secrets})
    whole = masks.text(text)
    assert shown(masks, pieces) == whole
    assert not [secret for secret in secrets if secret in whole]
    # Nothing but what belongs to a secret is hidden.
    covered = {i for s in secrets for at in range(len(text)) if text.startswith(s, at) for i in range(at, at + len(s))}
    assert whole.replace(MARK, "") == "".join(char for i, char in enumerate(text) if i not in covered)


def test_a_secret_that_begins_with_another_is_hidden_whole_in_two_pieces() -> None:
    masks = Masks({"user": "admin", "password": "admin-Tr0ub4dor"})
    assert shown(masks, ["pw=admin", "-Tr0ub4dor\n"]) == f"pw={MARK}\n"
    assert shown(masks, ["user=admin", "-\n", "admin"]) == f"user={MARK}-\n{MARK}"


def test_secrets_that_overlap_are_hidden_whole() -> None:
    assert Masks({"a": "abcdef", "b": "defghi"}).text("<abcdefghi>") == f"<{MARK}>"
    assert shown(Masks({"a": "abab"}), ["xaba", "b", "ab", "aby"]) == f"x{MARK}y"


SPELLINGS = {
    "as it is": str,
    "HTML": html.escape,
    "HTML, as pandas writes it": lambda text: html.escape(text, quote=False),
    "HTML, as Jinja writes it": lambda text: str(markupsafe.escape(text)),
    "a dictionary in a table in HTML": lambda text: html.escape(repr({"k": text}), quote=False),
    "Python": repr,
    "Python beside a quote": lambda text: repr(text + '"'),
    "Python's bytes": lambda text: repr(text.encode()),
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps({"k": text})),
    "JSON that is not ASCII, in JSON": lambda text: json.dumps(json.dumps({"k": text}, ensure_ascii=False)),
    "JSON for a script": lambda text: json.dumps(text).replace("/", "\\/"),
    "a path": quote,
    "a part of a path": lambda text: quote(text, safe=""),
    "a query": lambda text: f"https://x/?key={quote_plus(text)}&a=1",
}


@pytest.mark.parametrize(
    "secret", ["Ab+/cd=x y9", "canary'&\"zebra", "it's<me>", 'say "so"', "pässwörd/ok", "a\\b\\c/d"]
)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_secret_is_found_however_it_is_written(spelling: str, secret: str) -> None:
    write = SPELLINGS[spelling]
    masked, around = Masks({"token": secret}).text(f"<{write(secret)}>"), f"<{write('sesame')}>"
    assert masked.replace('"', "'") == around.replace('"', "'").replace("sesame", MARK)


def test_what_is_too_short_is_looked_for_in_no_spelling() -> None:
    assert Masks({"token": "&\n ' \nsesame"}).text("a&amp;b%20 sesame") == f"a&amp;b%20 {MARK}"


def test_a_text_that_is_not_unicode_can_be_secret() -> None:
    assert Masks({"token": "sesame\ud800"}).text("<sesame\ud800>") == f"<{MARK}>"


def test_the_error_of_the_cell_that_sets_secrets_has_none_in_its_name() -> None:
    masks = Masks({"token": "canary"}, index=0)
    content = {"ename": "syntax error near 'canary'", "evalue": "canary", "traceback": ["canary"]}
    [passed] = masks.passed({"msg_type": "error", "content": content}, 0)
    assert passed["content"]["ename"] == f"syntax error near '{MARK}'"
    assert "canary" not in json.dumps(passed)


def test_binary_parts_of_a_message_are_searched_and_keep_their_size() -> None:
    masks = Masks({"token": "canary-ä"})
    message = {"msg_type": "comm_msg", "content": {"data": {}}, "buffers": [memoryview("<canary-ä>".encode()), b"1"]}
    [passed] = masks.passed(message, 0)
    assert passed["buffers"] == [b"<*********>", b"1"]


def test_how_much_is_kept_to_know_a_secret_by_is_its_longest_spelling() -> None:
    assert Masks({}).longest_bytes == 0
    assert Masks({"token": "<canary>"}).longest_bytes >= len(html.escape("<canary>"))


@pytest.mark.parametrize("before", range(0, 40, 7))
def test_the_end_of_the_standard_error_is_masked_before_it_is_cut(before: int) -> None:
    secret = "canary-0123456789-cage"

    async def wrote() -> str:
        request = Request(Path("in.ipynb"), Path("out.ipynb"), {}, secrets={"token": secret})
        run = Run(Press({}), 0o22, request, Stop(), "", [])
        errors = asyncio.StreamReader()
        errors.feed_data((secret + "." * (4096 - before)).encode())
        errors.feed_eof()
        await run._drain(errors)
        return run._wrote()

    said = asyncio.run(wrote())
    assert len(said) <= 4096
    assert not any(piece in said for piece in ("cage", "0123", "canary"))
