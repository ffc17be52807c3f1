"""Artifact directories on a real file system: what is listed, what is left out, what is taken away."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pressroom.executions import artifacts
from pressroom.executions.artifacts import Artifact, Bounds
from pressroom.notebooks.places import Location, Places

MANY = Bounds(100, 2**20)


@pytest.fixture
def output(home: Path) -> Location:
    (home / "executions").mkdir()
    return Places(home.parent).locate(str(home / "executions" / "sales-7.ipynb"), "ana")


@pytest.fixture
def folder(output: Location) -> Iterator[int]:
    with output.parent.open_directory() as fd:
        yield fd


def made(output: Location, folder: int, attempt: int = 1) -> Location:
    place = artifacts.make(output, folder, 7, attempt)
    assert place is not None
    assert list(place.path.iterdir()) == []
    return place


def test_files_are_listed_however_deep_and_nothing_else_is(output: Location, folder: int, tmp_path: Path) -> None:
    place = made(output, folder)
    deep = place.path.joinpath(*["d" * 20] * 20)
    deep.mkdir(parents=True)
    (deep / "x.csv").write_text("1")
    (place.path / "b.png").write_text("22")
    (place.path / "link").symlink_to(tmp_path)
    os.mkfifo(place.path / "pipe")
    (place.path / os.fsdecode(b"\xff.txt")).write_text("misnamed")
    (deep / ("y" * 200)).write_text("its path is too long")
    found = artifacts.listed(place, folder, MANY)
    assert found.files == (Artifact("b.png", 2), Artifact(f"{'/'.join(['d' * 20] * 20)}/x.csv", 1))
    assert [file.media_type for file in found.files] == ["image/png", "text/csv"]
    assert found.left_out == 4


def test_over_a_bound_the_rest_is_left_out_and_stays(output: Location, folder: int) -> None:
    place = made(output, folder)
    for name, size in (("a", 3), ("b", 5), ("c", 2), ("d", 1)):
        (place.path / name).write_bytes(b"x" * size)
    found = artifacts.listed(place, folder, Bounds(2, 7))
    assert (found.files, found.left_out) == ((Artifact("a", 3), Artifact("c", 2)), 2)
    assert sorted(path.name for path in place.path.iterdir()) == ["a", "b", "c", "d"]
    assert "2 entries" in Bounds(2, 7).sentence(2)


def test_an_attempt_takes_the_files_of_earlier_ones_away_and_links_with_what_they_are(
    output: Location, folder: int, tmp_path: Path
) -> None:
    (tmp_path / "kept").touch()
    first = made(output, folder)
    (first.path / "old").touch()
    third = output.parent.path / "sales-7-3.artifacts"
    third.symlink_to(tmp_path)
    assert made(output, folder, 3).path == third
    assert not first.path.exists()
    assert not third.is_symlink()
    assert (tmp_path / "kept").exists()


def test_a_directory_that_became_a_link_meanwhile_is_not_looked_into(
    output: Location, folder: int, tmp_path: Path
) -> None:
    place = made(output, folder)
    (tmp_path / "secret").touch()
    place.path.rmdir()
    place.path.symlink_to(tmp_path)
    assert artifacts.listed(place, folder, MANY).files == ()
    assert (tmp_path / "secret").exists()


@pytest.mark.parametrize(
    ("path", "attempt", "name"),
    [
        ("/a/executions/sales-20261031T080000Z-7.ipynb", 1, "sales-20261031T080000Z-7.artifacts"),
        ("/a/executions/sales-20261031T080000Z-7.ipynb", 2, "sales-20261031T080000Z-7-2.artifacts"),
        ("/a/sales.ipynb", 1, "sales-7.artifacts"),
        (f"/a/{'ä' * 124}.ipynb", 1, f"{'ä' * 90}-7.artifacts"),
    ],
)
def test_the_name_says_which_output_execution_and_attempt_it_is_of(path: str, attempt: int, name: str) -> None:
    assert artifacts.folder_name(path, 7, attempt) == name
