"""Accounts of this machine that a test makes. Needs root."""

import pwd
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass
class Account:
    """An account of this machine."""

    name: str
    home: Path

    @property
    def uid(self) -> int:
        return pwd.getpwnam(self.name).pw_uid


@contextmanager
def account(prefix: str, homes: Path) -> Iterator[Account]:
    """A new account, and its end with all that it runs."""
    name = prefix + secrets.token_hex(3)
    made = Account(name, homes / name)
    subprocess.run(["useradd", "--create-home", "--home-dir", made.home, "--user-group", name], check=True)
    try:
        yield made
    finally:
        for process in psutil.process_iter(["uids"]):
            if process.info["uids"] and process.info["uids"].real == made.uid:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    process.wait(30)
        subprocess.run(["userdel", name], check=True)
