"""The files of others that pages load are those that are pinned."""

import runpy
from pathlib import Path

ASSETS = Path(__file__).parents[2] / ".ci" / "assets.py"


def test_each_file_of_others_is_the_one_that_was_taken_from_its_package() -> None:
    pinned = runpy.run_path(str(ASSETS))
    found = {path.name: pinned["digest_of"](path.read_bytes()) for path in pinned["VENDOR"].iterdir()}
    assert found == pinned["FILES"]
    assert {name for package in pinned["PACKAGES"] for name in package.files.values()} == found.keys()
