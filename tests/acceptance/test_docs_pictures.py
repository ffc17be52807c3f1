"""The pictures in the docs show the pages as they are."""

import importlib.util
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pictures() -> Any:
    """What takes them."""
    found = importlib.util.spec_from_file_location("pictures", ROOT / ".ci" / "pictures.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    return made


def test_the_pictures_were_taken_of_these_pages() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/pictures.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_pages_are_made_of_is_their_code_too(
    pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "WEB", tmp_path)
    before = pictures.made_of()
    for name in ("templates/home.html", "static/pages.css", "grids.py"):
        Path(tmp_path, name).parent.mkdir(exist_ok=True)
        Path(tmp_path, name).write_text("else")
        assert pictures.made_of() != before, name
        before = pictures.made_of()


def test_a_picture_of_few_colours_has_those_of_the_pages_and_none_is_taken_for_another(pictures: Any) -> None:
    named = sorted(pictures.named())
    assert (0xB0, 0x25, 0x1D) in named, "that of what failed"
    smooth = [(red, green, blue) for red, green, blue in product(range(0, 256, 15), repeat=3)]
    whole = Image.new("RGB", (100, 100), (255, 255, 255))
    whole.putdata([*named, *smooth])  # one of each
    few = pictures.fewer(whole).convert("RGB")
    assert len(few.getcolors()) <= 256
    pixels = [few.getpixel((at % 100, at // 100)) for at in range(len(named) + len(smooth))]
    assert pixels[: len(named)] == named
    far = [
        max(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in zip(pixels[len(named) :], smooth, strict=True)
    ]
    assert max(far) < 40
