"""Artifact directories on a real file system: what is listed, what is left out, what is taken away."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pressroom.executions import artifacts, discarding
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
    assert Bounds(2, 7).sentence(found).startswith("2 entries")


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


def test_no_more_entries_are_looked_at_than_the_bound_lets_and_it_says_so(output: Location, folder: int) -> None:
    place = made(output, folder)
    bounds = Bounds(1, 2**20)
    for number in range(1100):
        (place.path / str(number)).touch()
    found = artifacts.listed(place, folder, bounds)
    assert (len(found.files), found.left_out, found.more) == (1, 999, True)
    assert bounds.sentence(found).startswith("More than 999 entries")


def test_names_that_cannot_be_asked_for_or_hold_a_secret_are_left_out(output: Location, folder: int) -> None:
    place = made(output, folder)
    for name in ("nl\nx.txt", "esc\x1b[2J", "of-canary-1.csv", "kept.csv"):
        (place.path / name).touch()
    found = artifacts.listed(place, folder, MANY, {"token": "canary-1"})
    assert found == artifacts.Listing((Artifact("kept.csv", 0),), 3)


def test_a_folder_that_cannot_be_looked_into_is_told_of_and_the_others_are_listed(
    output: Location, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = made(output, folder)
    for name in ("broken", "whole"):
        (place.path / name).mkdir()
        (place.path / name / "a.csv").touch()
    real = os.open

    def opened(path: str, *given: int, **options: int) -> int:
        if path == "broken":
            raise OSError(5, "Input/output error", path)
        return real(path, *given, **options)

    monkeypatch.setattr(os, "open", opened)
    assert artifacts.listed(place, folder, MANY) == artifacts.Listing((Artifact("whole/a.csv", 0),), 1)


def test_a_doomed_directory_is_out_of_the_way_at_once_and_goes_later(output: Location, folder: int) -> None:
    place = made(output, folder)
    (place.path / "a.csv").touch()
    asked = (Places(output.root.parent), str(output.path), "ana", 7, 1)
    assert artifacts.doom(*asked)
    there = place.path.with_name(artifacts.gone_name(7, 1))
    assert not place.path.exists()
    assert (there / "a.csv").exists()
    assert artifacts.doom(*asked), "whoever was killed right after is followed by another"
    place.path.mkdir()
    (place.path / "b.csv").touch()
    assert artifacts.doom(*asked), "a name that is taken is in nobody's way"
    assert discarding.discard(asked[0], [discarding.Attempt(str(output.path), "ana", 7, 1)]) == []
    assert list(output.parent.path.iterdir()) == []
    assert not artifacts.doom(*asked)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("charts/a.b.PNG", "image/png"),
        ("data:x/ŵ,a", artifacts.ANYTHING),
        ("data:image/png,evil.html", "text/html"),
        ("data:image/png,evil", artifacts.ANYTHING),
        ("a.csv.gz", artifacts.ANYTHING),
    ],
)
def test_the_end_of_a_name_says_its_media_type_and_nothing_else_does(path: str, media_type: str) -> None:
    assert Artifact(path, 1).media_type == media_type


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
