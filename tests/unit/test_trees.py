"""Trees of files that are taken away, whatever a notebook made of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from pressroom.executions import trees
from pressroom.press.account import Account

NOBODY = Account("nobody", 65534, 65534, (), "/", "/bin/sh", 0o022)


def removed(parent: Path, name: str) -> None:
    """Without root's rights over files, which would hide what a mode forbids."""
    fd = os.open(parent, os.O_RDONLY)
    try:
        if os.geteuid() == 0:
            for each in (parent, *parent.rglob("*")):
                os.chown(each, NOBODY.uid, NOBODY.gid, follow_symlinks=False)
        with NOBODY.files() if os.geteuid() == 0 else nullcontext():
            trees.remove(fd, name)
    finally:
        os.close(fd)


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_that_its_owner_may_not_change_goes_with_what_is_in_it(tmp_path: Path, mode: int) -> None:
    for path in ("left/shut/inner/deep", "left/shut/other"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "a.csv").touch()
    for path in ("left/shut/inner/deep", "left/shut/inner", "left/shut", "left"):
        (tmp_path / path).chmod(mode)
    removed(tmp_path, "left")
    assert list(tmp_path.iterdir()) == []


def test_depth_costs_no_stack_and_no_open_folders(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ("left", *["d" * 20] * 1500):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    fd = os.open(tmp_path, os.O_RDONLY)
    trees.remove(fd, "left")
    os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_those_who_take_one_tree_away_together_leave_nothing(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            for n in range(5):
                for inner in ("x/deep/deeper", "y/deep", "z"):
                    (made := tmp_path / "left" / f"{n}" / inner).mkdir(parents=True)
                    (made / "a.csv").touch()
            for done in [threads.submit(trees.remove, fd, "left") for _ in range(4)]:
                assert isinstance(done.exception(), OSError | None)
            assert list(tmp_path.iterdir()) == []
    os.close(fd)


def test_links_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.csv").touch()
    (tmp_path / "kept").chmod(0o555)
    (tmp_path / "left" / "inner").mkdir(parents=True)
    (tmp_path / "left" / "inner" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    removed(tmp_path, "left")
    removed(tmp_path, "link")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "a.csv"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o555
