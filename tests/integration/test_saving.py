"""Files are written whole or not at all, also where the process that writes is killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pressroom.press import saving

KILLED_BEFORE_IT_IS_ON_DISK = """
import os, signal, sys
from pressroom.press import saving
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
folder = os.open(sys.argv[1], os.O_RDONLY)
saving.{call}
"""
CALLS = {
    "create": "create(folder, 'new', b'x' * 2**20)",
    "replace": "replace(folder, 'old', b'x' * 2**20)",
    "stage": "stage(folder, 'staged', b'x' * 2**20, instead_of='old')",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("call", CALLS)
def test_a_process_that_is_killed_while_it_writes_leaves_no_half(tmp_path: Path, call: str) -> None:
    tmp_path.joinpath("old").write_text("old")
    code = KILLED_BEFORE_IT_IS_ON_DISK.format(call=CALLS[call])
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "old"}


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that knows files without a name, and one that does not."""
    if request.param:
        return
    real = os.open

    def without(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", without)


@pytest.mark.usefixtures("file_system")
def test_a_file_is_new_or_takes_the_place_of_the_old_one_with_its_mode(tmp_path: Path, folder: int) -> None:
    old, umask = tmp_path / "old", os.umask(0o027)
    try:
        old.write_text("old")
        old.chmod(0o604)
        saving.create(folder, "new", b"new")
        saving.replace(folder, "old", b"newer")
        saving.stage(folder, "staged", b"newest", instead_of="old")
    finally:
        os.umask(umask)
    found = {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert found == {"new": ("new", 0o640), "old": ("newer", 0o604), "staged": ("newest", 0o604)}
    with pytest.raises(FileExistsError):
        saving.create(folder, "new", b"another")
    saving.publish(folder, "staged", "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    assert old.read_text() == "newest"
