"""The pictures in the docs show the pages as they are."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pictures_were_taken_of_these_pages() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/pictures.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
