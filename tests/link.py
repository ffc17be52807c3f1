"""A way to PostgreSQL, over TCP, that a test can cut: at once, or when an answer is on its way back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import URL


class Link:
    """Passes on what comes. Made by :func:`open_link`."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()
        self._words: list[bytes] = []
        self.up = True
        self.lost = asyncio.Event()
        """Set when an answer was lost."""
        self.url = server

    def cut(self) -> None:
        """Break every connection, and refuse new ones while ``up`` is false."""
        for writer in self._open:
            writer.transport.abort()

    def lose_answer_to(self, *words: str) -> None:
        """Break the connection of the next statement with these words in it, once the server has done it; of several,
        they come one after the other, and the last one's answer is lost."""
        self._words = [each.encode() for each in words]

    async def close(self) -> None:
        """Break every connection for good."""
        self.up = False
        self.cut()
        await asyncio.gather(*(task for task in self._tasks if task is not None), return_exceptions=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what a client and the server tell each other, until one of them has no more to say."""
        self._tasks.add(asyncio.current_task())
        if not self.up:
            writer.transport.abort()
            return
        path = f"{self._server.query['host']}/.s.PGSQL.{self._server.query.get('port', '5432')}"
        answers, questions = await asyncio.open_unix_connection(path)
        mine = {writer, questions}
        self._open |= mine
        asked = asyncio.Event()
        passing = {
            asyncio.create_task(self._pass(reader, questions, asked, answering=False)),
            asyncio.create_task(self._pass(answers, writer, asked, answering=True)),
        }
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        self._open -= mine
        for end in mine:
            end.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: asyncio.Event, *, answering: bool
    ) -> None:
        words: list[bytes] = []
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if answering and asked.is_set():
                    self.lost.set()
                    return
                if not answering and self._words and self._words[0] in data:
                    words, self._words = self._words, []
                if words and words[0] in data:
                    words = words[1:]
                    if not words:
                        asked.set()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def open_link(server: URL) -> AsyncIterator[Link]:
    """A link to a server that listens on a socket in a directory; ``url`` is the way over it."""
    link = Link(server)
    listening = await asyncio.start_server(link.connected, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    link.url = server.set(host="127.0.0.1", port=port, query={"sslmode": "disable", "gssencmode": "disable"})
    try:
        yield link
    finally:
        listening.close()
        await link.close()
        await listening.wait_closed()
