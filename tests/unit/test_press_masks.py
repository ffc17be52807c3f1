"""What a kernel puts out is searched for secrets, in whatever pieces and whichever spelling it comes."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.press.masks import MARK, Masks


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
