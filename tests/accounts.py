"""Real accounts of this machine, for the length of a test, and a service that runs notebooks as them.

Called as a program, by root, it lets every account pass the folders above this Python, which they execute too.
"""

import asyncio
import os
import pwd
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from sqlalchemy import URL

from pressroom.database.session import Database
from pressroom.identity import tokens
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.token_schemas import TokenWanted

WHY = "only root can make accounts, and act as them"
IS_ROOT = os.geteuid() == 0


@contextmanager
def account(homes: Path, role: str, *options: str) -> Iterator[str]:
    """The name of an account whose home, that nobody else can enter, lies in ``homes``."""
    name = f"{role}{uuid.uuid4().hex[:8]}"
    home = homes / name
    subprocess.run(["useradd", "--no-create-home", "--home-dir", home, *options, name], check=True, capture_output=True)
    try:
        entry = pwd.getpwnam(name)
        home.mkdir(mode=0o700)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        yield name
        left = processes_of(name)
        for process in left:
            process.kill()
        assert not left, "processes of the account are left"
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def processes_of(name: str) -> list[psutil.Process]:
    """The processes of an account."""
    found = psutil.process_iter(["uids"])
    return [process for process in found if process.info["uids"] and uid_of(name) in process.info["uids"]]


def uid_of(name: str) -> int:
    """The uid of an account."""
    return pwd.getpwnam(name).pw_uid


def give(path: Path, name: str) -> Path:
    """Make an account the owner of a file, and of the folders above it in its home."""
    entry = pwd.getpwnam(name)
    for piece in (path, *path.parents):
        os.chown(piece, entry.pw_uid, entry.pw_gid)
        if str(piece) == entry.pw_dir:
            break
    return path


def client_of(url: str, database_url: URL, username: str, *, admin: bool = False) -> httpx.Client:
    """A client that is known by a token as ``username``."""
    person = Principal.person(username, roles=["admin"] if admin else [], source="test")

    async def made() -> str:
        database = Database(database_url)
        scopes = [Scope.ADMIN] if admin else [Scope.READ, Scope.WRITE, Scope.EXECUTE]
        try:
            async with database.transaction() as session:
                return (await tokens.create(session, person, TokenWanted(scopes=scopes)))[1]
        finally:
            await database.dispose()

    return httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {asyncio.run(made())}"})


def let_pass() -> None:
    """Let every account pass the folders above this environment and the Python that it was made from; no more than
    that: none can be listed that could not be before."""
    for folder in {above for prefix in (sys.prefix, sys.base_prefix) for above in Path(prefix).resolve().parents}:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            print(f"{folder} may be passed by every account from now on, for the tests that execute Python as others.")
            folder.chmod(mode | stat.S_IXOTH)


if __name__ == "__main__" and IS_ROOT:
    let_pass()
