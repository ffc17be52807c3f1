"""What is left of one user's execution in the memory of the processes that others' are forked from."""

import asyncio
import os
import pwd
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from accounts import IS_ROOT, WHY, account, give
from presses import opened
from pressroom.notebooks.accounts import account_named
from pressroom.press import Finished, Output, Press, Request

pytestmark = pytest.mark.skipif(not IS_ROOT, reason=WHY)
write_notebook = pytest.write_notebook  # type: ignore[attr-defined]

MARKS = {
    "environment": "pressmark-environ-4c1f",
    "secret": "pressmark-secret-9ab2",
    "parameter": "pressmark-value-77e0",
}
OWN = "pressmark-own-5d21"
SCAN = """
import os, re, time
found = re.compile(pattern.encode())
names = set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
    for line in maps.read().splitlines():
        area, access = line.split()[:2]
        start, end = (int(address, 16) for address in area.split("-"))
        if not access.startswith("r") or "[v" in line:
            continue
        try:
            memory.seek(start)
            names |= set(found.findall(memory.read(end - start)))
        except OSError:
            continue
print(sorted(name.decode() for name in names), flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
"""
ANY = "[p]ressmark-[a-z]+-[0-9a-f]{4}"
"""No part of what it finds, so that it does not find itself."""


def held_by(pid: int) -> set[str]:
    """The marks in the memory of a process."""
    found: set[str] = set()
    process = Path(f"/proc/{pid}")
    with (process / "mem").open("rb", buffering=0) as memory:
        for line in (process / "maps").read_text().splitlines():
            area, access = line.split()[:2]
            start, end = (int(address, 16) for address in area.split("-"))
            if access.startswith("r") and "[v" not in line:
                memory.seek(start)
                try:
                    found |= {name.decode() for name in re.findall(ANY.encode(), memory.read(end - start))}
                except OSError:
                    continue  # what a device has mapped
    return found


def request_of(opened: ExitStack, name: str, path: Path, **fields: Any) -> Request:
    """An execution as an account, with its files open."""
    fds = [os.open(path, os.O_RDONLY), *(os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY) for _ in range(2))]
    for fd in fds:
        opened.callback(os.close, fd)
    keys = ("input_fd", "working_fd", "output_fd")
    return Request(
        path, path.with_name("out.ipynb"), account=account_named(name), **dict(zip(keys, fds, strict=True)), **fields
    )


async def ended(press: Press, name: str, path: Path, **fields: Any) -> Finished:
    with ExitStack() as files:
        async for event in press.execute(request_of(files, name, path, **fields)):
            if isinstance(event, Finished):
                assert event.reason is None, event.message
                return event
    raise AssertionError("no end was told")


async def test_nothing_of_an_execution_is_left_where_others_are_forked(open_module_directory: Path) -> None:
    homes = open_module_directory
    with account(homes, "alice") as alice, account(homes, "mallory") as mallory:
        works = "import os\nassert (plain, token, os.environ['MARK'])"
        path = Path(pwd.getpwnam(alice).pw_dir, "works.ipynb")
        give(write_notebook(path, works, parameters="plain = token = ''"), alice)
        scan = Path(pwd.getpwnam(mallory).pw_dir, "scan.ipynb")
        give(write_notebook(scan, SCAN, parameters="pattern = ''"), mallory)
        hers = {
            "parameters": {"plain": MARKS["parameter"]},
            "secrets": {"token": MARKS["secret"]},
            "environment": {"MARK": MARKS["environment"]},
        }
        async with opened() as press:
            for _ in range(3):
                await ended(press, alice, path, **hers)
            said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            async def hostile() -> None:
                with ExitStack() as files:
                    given = request_of(files, mallory, scan, parameters={"pattern": ANY}, environment={"MARK": OWN})
                    async for event in press.execute(given):
                        if isinstance(event, Output) and event.stream == "stdout":
                            said.set_result(event.text)
                        if isinstance(event, Finished):
                            assert event.reason is None, event.message

            theirs = asyncio.create_task(hostile())
            try:
                printed = await asyncio.wait_for(asyncio.shield(said), 60)
                servers = [psutil.Process(pid) for pid in press.servers.pids()]
                everyone = [*servers, *(below for server in servers for below in server.children(recursive=True))]
                held = {(process.name(), process.pid): held_by(process.pid) for process in everyone}
            finally:
                (scan.parent / "go").touch()
                await theirs
    assert printed.strip() == str([OWN]), "what the kernel has of its own is seen, and nothing else"
    assert {"pressroom-forks", "pressroom-keep", "pressroom-run", "pressroom-krnl", "pressroom-wait"} <= {
        name for name, _ in held
    }
    assert [names for (name, _), names in held.items() if name == "pressroom-run"] == [{OWN}]
    assert set().union(*held.values()) == {OWN}
    assert not [name for (name, _), names in held.items() if names and name not in ("pressroom-run", "pressroom-krnl")]
