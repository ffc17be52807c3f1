"""Makes the pictures of the pages that stand in the docs: the tests that look at the pages take them, and those that
are named here are put into ``docs/pictures/pages``, with as few colours as they need. Beside them stands what the pages
were made of: ``--check`` says, by the exit code 1, that they have changed since."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
TESTS = ("tests/acceptance/test_pages.py", "tests/acceptance/test_pages_batches.py")
PICTURES = ROOT / "docs" / "pictures" / "pages"
OF = PICTURES / "of.sha256"
WEB = ROOT / "src" / "pressroom" / "web"
COLOURS = 256
WIDEST = 1000
ON_A_LAPTOP = (
    *("home", "notebooks", "files", "registering", "parameters", "notebook-wrong", "notebook-shared"),
    *("execution-running", "execution-failed", "execution", "executions", "sweep", "batch", "batches"),
    *("compare-picked", "difference", "schedule-form", "schedule", "schedules"),
    *("workers", "kernels", "audit", "tokens"),
)
TAKEN = (*(f"{name}-laptop-light" for name in ON_A_LAPTOP), "execution-phone-dark", "batch-phone-dark")
"""Which pages, and how each is looked at."""


def made_of() -> str:
    """The sum of all that gives the pages their look."""
    found = hashlib.sha256()
    for path in sorted([*(WEB / "templates").glob("*.html"), *(WEB / "static").glob("*.*")]):
        found.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest() + "\n"


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
                smaller = picture.convert("RGB")
                smaller.thumbnail((WIDEST, smaller.height), Image.Resampling.LANCZOS)
                few = smaller.quantize(COLOURS, dither=Image.Dither.NONE)
                few.save(PICTURES / f"{name}.png", optimize=True)
    OF.write_text(made_of())
    return 0


if __name__ == "__main__":
    sys.exit(main())
