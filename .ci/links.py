"""Looks whether the pages elsewhere that the documentation names are there.

Ends with 1 where a server says that one is not. What cannot be reached, or answers strangely, is named and changes
nothing, as a network that is down says nothing of the documentation; with ``LINKS_REQUIRED`` set it ends with 1, too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent.parent
BUILT = HERE / "docs" / "_build"
FOUND = BUILT / "links" / "output.json"
# Of the pages as the build of the site has read them.
CHECK = ["--quiet", "-n", "-b", "linkcheck", "-d", str(BUILT / "html" / ".doctrees"), "docs", str(FOUND.parent)]
GONE = ("404 ", "410 ", "Anchor ")
"""How the reason begins where the server has answered, and what is named is not there."""


def main() -> int:
    """The exit code."""
    FOUND.unlink(missing_ok=True)
    program = str(Path(sys.executable).parent / "sphinx-build")
    done = subprocess.run([program, *CHECK], cwd=HERE, capture_output=True, text=True)
    if not FOUND.exists():
        say(f"Nothing was checked: {done.stderr[-2000:]}")
        return 1
    links = [json.loads(line) for line in FOUND.read_text().splitlines()]
    unsaid = [link for link in links if link["status"] in {"broken", "timeout", "ratelimited"}]
    gone = [link for link in unsaid if link["info"].startswith(GONE)]
    for link in unsaid:
        what = "IS NOT THERE" if link in gone else "NOT CHECKED"
        say(f"docs/{link['filename']}:{link['lineno']}: {what}: {link['uri']} ({link['info'][:200]})")
    elsewhere = [link for link in links if link["uri"].startswith("http") and link["status"] != "ignored"]
    say(f"{len(elsewhere)} links to pages elsewhere, {len(gone)} gone, {len(unsaid) - len(gone)} not checked.")
    return 1 if gone or (unsaid and os.environ.get("LINKS_REQUIRED")) else 0


def say(line: str) -> None:
    """Write a line."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
