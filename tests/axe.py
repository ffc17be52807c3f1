"""What looks for barriers in pages: axe-core, fetched once, by npm, into the user's cache.

``python tests/axe.py`` fetches it.
"""

import fcntl
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from playwright.async_api import Page

VERSION = "4.14.1"
_RUN = """async (rules) => {
  const only = rules ? {runOnly: {type: "rule", values: rules}} : {};
  const found = await axe.run(document, {resultTypes: ["violations"], ...only});
  const told = node => `${node.html.slice(0, 150)} ${node.failureSummary}`;
  return found.violations.map(one => [one.id, one.nodes.map(told)]);
}"""


def script() -> Path:
    """The script of axe-core."""
    cache = user_cache_path("pressroom-tests") / "axe"
    cache.mkdir(parents=True, exist_ok=True)
    ready = cache / f"axe-{VERSION}.min.js"
    with (cache / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                pack = ["npm", "pack", "--json", "--ignore-scripts", f"axe-core@{VERSION}"]
                done = subprocess.run(pack, cwd=folder, check=True, capture_output=True, text=True)
                archive = Path(folder, json.loads(done.stdout)[0]["filename"])
                with tarfile.open(archive) as opened:
                    opened.extract("package/axe.min.js", folder, filter="data")
                Path(folder, "package", "axe.min.js").rename(ready)
    return ready


async def violations(page: Page, *rules: str) -> list[Any]:
    """What is wrong with a page, by rule: those that are named, or all."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(script().read_text() + "; undefined")
    return await page.evaluate(_RUN, list(rules) or None)


if __name__ == "__main__":
    print(script())
