"""Makes the pictures of the pages that stand in the docs: the tests that look at the pages take them, and those that
are named here are put into ``docs/pictures/pages``, with as few colours as they need."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
TESTS = ("tests/acceptance/test_pages.py", "tests/acceptance/test_pages_batches.py")
PICTURES = ROOT / "docs" / "pictures" / "pages"
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


def main() -> int:
    """The exit code."""
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
