"""The ends of sockets and pipes between the caller of an execution and its processes."""

import asyncio
import os
import socket
from contextlib import ExitStack, suppress

_LINE_LIMIT = 8 * 2**20
"""Bytes of an event at most: what the runner tells of a failure is cut to fit. Twice as many are read ahead."""


def pair(ours: ExitStack, theirs: ExitStack) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; each is closed with its stack."""
    mine, other = socket.socketpair()
    return ours.enter_context(mine), theirs.enter_context(other)


def pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    """The reading and the writing end of a pipe, likewise."""
    read, write = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, read)
    theirs.callback(os.close, write)
    return read, write


def remove(group: str) -> None:
    """Remove a control group that nothing was put into."""
    with suppress(OSError):
        os.rmdir(group)  # noqa: PTH106 - as quick as any, and asynchronous for nobody


class Watch(asyncio.Protocol):
    """Notes the end of a pipe into which nothing is written."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The end has come."""
        self._ended.set()


async def reading(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A pipe's reading end, as a stream of lines."""
    reader = asyncio.StreamReader(limit=_LINE_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(fd, "rb"))
    return reader, transport
