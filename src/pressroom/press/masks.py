"""Secrets, kept out of what a kernel puts out: before it is saved, told or sent, each is replaced by :data:`MARK`.

Looked for are texts of at least :data:`SHORTEST` characters, wherever they stand in a value, each line of them, and
numbers: as they are; as the source of Python, in a text or in bytes; as JSON, once or in JSON again, with slashes
escaped or not; each of these as HTML, with the quotes escaped in either way or left; and as a part of an address.

This guards against accidents. Code that is given a secret can put it out in a form that is not looked for here: as
Base64 (alone, or with a user's name for HTTP), in hexadecimal digits, compressed, in UTF-16, in an image, as a part or
with other characters in between (cut by a table's width, coloured), as the name in a JSON object.
"""

import html
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote, quote_plus

MARK = "********"
"""What stands in the place of a secret, wherever something is shown."""
SHORTEST = 4
"""Characters of the shortest text that is looked for: shorter ones are in every text."""
_HIDDEN = "The parameters could not be set. What the kernel said of it may hold a secret, and is not shown."
_SHOWN = ("display_data", "execute_result", "update_display_data")


class Masks:
    """The secrets of one execution, as they may come to be seen.

    For the cell at ``index`` the kernel is sent ``code``, which sets the secrets: nothing of
    what comes of it is kept, and of an error only its name.
    """

    def __init__(self, secrets: Mapping[str, Any], index: int = -1, code: str = "") -> None:
        found = {spelt for value in secrets.values() for leaf in _leaves(value) for spelt in _spelt(leaf)}
        self._words = sorted(found)
        self.index, self.code = index, code
        # Of each stream: its last message, the text that waits, and how much of it a mark stands for already.
        self._held: dict[tuple[int, str], tuple[dict[str, Any], str, int]] = {}

    def text(self, text: str) -> str:
        """A text without the secrets."""
        return _masked(text, self._words, 0, len(text))[0]

    @property
    def longest_bytes(self) -> int:
        """How long a secret may be, as it is written."""
        return max((len(word.encode("utf-8", "surrogatepass")) for word in self._words), default=0)

    def binary(self, data: bytes) -> bytes:
        """Bytes without the texts of the secrets in them, and as many as before: their places may mean something."""
        for word in sorted(self._words, key=len, reverse=True):
            raw = word.encode("utf-8", "surrogatepass")
            data = data.replace(raw, b"*" * len(raw))
        return data

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets; the names of objects stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {name: self.value(inner) for name, inner in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in cast("list[Any]", value)]
        if isinstance(value, int | float) and not isinstance(value, bool):
            spelt = json.dumps(value)
            return MARK if self.text(spelt) != spelt else value
        return value

    def passed(self, message: dict[str, Any], index: int) -> Iterator[dict[str, Any]]:
        """What is taken in in the place of a kernel's message about the cell at ``index``: the end of a stream's text
        that may be the beginning of a secret comes with what follows."""
        kind, content = message["msg_type"], message["content"]
        if message.get("buffers"):
            message = message | {"buffers": [self.binary(bytes(piece)) for piece in message["buffers"]]}
        if index == self.index:
            if kind in ("status", "execute_input", "error"):
                yield message | {"content": self.raised(content, index)} if kind == "error" else message
            return
        if kind == "stream":
            if text := self._streamed(message, index):
                yield message | {"content": content | {"text": text}}
            return
        if kind in _SHOWN or kind in ("error", "clear_output") or content.get("execution_state") == "idle":
            yield from self.rest(index)
        if kind in _SHOWN:
            content = content | {name: self.value(content[name]) for name in ("data", "metadata") if name in content}
        elif kind == "error":
            content = self.raised(content, index)
        elif "data" in content:  # the state of a widget
            content = content | {"data": self.value(content["data"])}
        yield message | {"content": content}

    def raised(self, content: dict[str, Any], index: int) -> dict[str, Any]:
        """What an error, or the reply to the request of a cell that raised, says without the secrets."""
        if "ename" not in content:
            return content
        if index == self.index:
            name = self.text(str(content["ename"]))  # some kernels put the whole error there
            return content | {"ename": name, "evalue": _HIDDEN, "traceback": [f"{name}: {_HIDDEN}"]}
        # Only these: the content's other values are Jupyter's own words.
        return content | {name: self.value(content.get(name, "")) for name in ("ename", "evalue", "traceback")}

    def rest(self, index: int) -> Iterator[dict[str, Any]]:
        """What was held back of a cell's streams, as messages: nothing follows that would make it a secret."""
        for key in [key for key in self._held if key[0] == index]:
            message, text, marked = self._held.pop(key)
            if text := _masked(text, self._words, marked, len(text))[0]:
                yield message | {"content": message["content"] | {"text": text}}

    def _streamed(self, message: dict[str, Any], index: int) -> str:
        key = (index, message["content"]["name"])
        _, before, marked = self._held.pop(key, (None, "", 0))
        text = before + message["content"]["text"]
        until = len(text) - self._begun(text)
        shown, marked = _masked(text, self._words, marked, until)
        if until < len(text):
            self._held[key] = (message, text[until:], marked)
        return shown

    def _begun(self, text: str) -> int:
        """How many of the last characters of a text may be the beginning of a secret."""
        most = 0
        for word in self._words:
            tail = text[-(len(word) - 1) :]
            at = tail.find(word[0])
            while at >= 0 and len(tail) - at > most:
                if word.startswith(tail[at:]):
                    most = len(tail) - at
                at = tail.find(word[0], at + 1)
        return most


def _spans(text: str, words: Iterable[str]) -> list[tuple[int, int]]:
    """Where words stand in a text: what those that overlap cover is one span."""
    found: list[tuple[int, int]] = []
    for word in words:
        at = text.find(word)
        while at >= 0:
            found.append((at, at + len(word)))
            at = text.find(word, at + 1)
    spans: list[tuple[int, int]] = []
    for begin, end in sorted(found):
        if spans and begin < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((begin, end))
    return spans


def _masked(text: str, words: Iterable[str], marked: int, until: int) -> tuple[str, int]:
    """A text up to a place without the words, and how much of what follows there the last mark stands for. An earlier
    mark stands for the first ``marked`` characters, and for whatever overlaps them."""
    pieces: list[str] = []
    at = marked
    for begin, end in _spans(text, words):
        if begin >= until:
            break
        if begin >= marked:
            pieces += (text[at:begin], MARK)
        at = max(at, end)
    return "".join([*pieces, text[at:until]]), max(0, at - until)


def _leaves(value: Any) -> Iterator[str]:
    """The texts and numbers of a JSON value, as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _leaves(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield json.dumps(value)


def _spelt(text: str) -> Iterator[str]:
    """How a text may be written: as it is and line by line, and each of them in the ways that the module tells of."""
    for each in {text, *(line.strip() for line in text.splitlines())}:
        if len(each) < SHORTEST:
            continue
        raw = each.encode("utf-8", "surrogatepass")
        once = {json.dumps(each, ensure_ascii=plain)[1:-1] for plain in (True, False)}
        twice = {json.dumps(one, ensure_ascii=plain)[1:-1] for one in once for plain in (True, False)}
        # What is written in quotes decides which of them Python escapes.
        python = {repr(each)[1:-1], repr('"' + each)[2:-1], repr(raw)[2:-1]}
        written = {each, *python, *once, *twice, *(one.replace("/", "\\/") for one in once)}
        yield from written
        for one in written:
            yield from (quoted := html.escape(one), html.escape(one, quote=False))
            yield quoted.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))
