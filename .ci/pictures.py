"""Makes the pictures of the pages that stand in the docs: the tests that look at the pages take them, and those that
are named here are put into ``docs/pictures/pages``, with as few colours as they need. Beside them stands what the pages
were made of: ``--check`` says, by the exit code 1, that they have changed since."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
TESTS = (
    *("tests/acceptance/test_pages.py", "tests/acceptance/test_pages_batches.py"),
    "tests/acceptance/test_pages_session.py::test_tabs_whose_session_is_over_each_come_back_to_where_they_were",
)
PICTURES = ROOT / "docs" / "pictures" / "pages"
OF = PICTURES / "of.sha256"
WEB = ROOT / "src" / "pressroom" / "web"
COLOURS, EXACT = 256, 64
"""How many colours a picture has at most, and how many of those are as they were."""
ON_A_LAPTOP = (
    *("home", "notebooks", "files", "registering", "parameters", "notebook-wrong", "notebook-shared"),
    *("execution-running", "execution-failed", "execution", "executions", "copied-to-debug"),
    *("sweep", "batch", "batches"),
    *("compare-picked", "difference", "schedule-form", "schedule", "schedules"),
    *("workers", "kernels", "audit", "tokens", "signed-out", "ui", "not-there"),
)
TAKEN = (*(f"{name}-laptop-light" for name in ON_A_LAPTOP), "execution-phone-dark", "batch-phone-dark")
"""Which pages, and how each is looked at."""
Colour = tuple[int, int, int]


def made_of() -> str:
    """The sum of all that gives the pages their look, and their words."""
    found = hashlib.sha256()
    for path in sorted([*(WEB / "templates").glob("*.html"), *(WEB / "static").glob("*.*"), *WEB.glob("*.py")]):
        found.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest() + "\n"


def named() -> set[Colour]:
    """The colours that the style sheets name: however little there is of one, it is never shown as another."""
    sheets = "".join(path.read_text() for path in (WEB / "static").glob("*.css"))
    texts = (bytes.fromhex(each) for each in re.findall(r"#([0-9a-f]{6})\b", sheets))
    return {(text[0], text[1], text[2]) for text in texts}


def fewer(picture: Image.Image) -> Image.Image:
    """A picture with :data:`COLOURS` at most. Those of the style sheets, and those there is most of, stay as they are;
    of the others, which edges are smoothed with, each counts once, however rare it is."""
    raw = picture.convert("RGB").tobytes()
    pixels = list(zip(raw[0::3], raw[1::3], raw[2::3], strict=True))
    counted: dict[Colour, int] = {}
    for pixel in pixels:
        counted[pixel] = counted.get(pixel, 0) + 1
    own = named()
    order = sorted(counted, key=lambda colour: (colour not in own, -counted[colour], colour))
    palette, others = (order, []) if len(order) <= COLOURS else (order[:EXACT], order[EXACT:])
    if others:
        row = Image.frombytes("RGB", (len(others), 1), bytes(part for colour in others for part in colour))
        mixed = row.quantize(COLOURS - EXACT, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
        palette += list(zip(mixed[0::3], mixed[1::3], mixed[2::3], strict=True))[: COLOURS - EXACT]
    place = {colour: number for number, colour in reversed(list(enumerate(palette)))}
    for colour in others:
        if colour not in place:
            place[colour] = min(range(len(palette)), key=lambda number: _distance(palette[number], colour))
    few = Image.frombytes("P", picture.size, bytes(place[pixel] for pixel in pixels))
    few.putpalette([part for colour in palette for part in colour])
    return few


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def main() -> int:
    """The exit code."""
    if sys.argv[1:] == ["--check"]:
        if OF.exists() and OF.read_text() == made_of():
            return 0
        sys.exit("The pages look otherwise than their pictures in the docs; `make pictures` takes them.")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", *TESTS]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PRESSROOM_PICTURES": folder}, check=True)
        PICTURES.mkdir(parents=True, exist_ok=True)
        for name in TAKEN:
            with Image.open(Path(folder, f"{name}.png")) as picture:
                fewer(picture).save(PICTURES / f"{name}.png", optimize=True)
    OF.write_text(made_of())
    return 0


if __name__ == "__main__":
    sys.exit(main())
