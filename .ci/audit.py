"""Looks for known vulnerabilities of what is locked, in the advisories of https://osv.dev, or of ``OSV_URL``.

Ends with 1 where there is one, and where what was asked was not answered. Where the advisories cannot be reached at
all, nothing is known: it says so, and ends with 0, or with 1 where ``AUDIT_REQUIRED`` is set.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

HERE = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
OSV = os.environ.get("OSV_URL", "https://api.osv.dev/v1/query")
# PyPI's own list is not asked: where a mirror stands for it, what the mirror does not have counts as sound.
AUDIT = ["--vulnerability-service", "osv", "--osv-url", OSV, "--no-deps", "--disable-pip", "--format", "json"]


def main() -> int:
    """The exit code."""
    try:
        httpx.post(OSV, json={"package": {"name": "pip", "ecosystem": "PyPI"}, "version": "1.0"}, timeout=20)
    except httpx.TransportError as error:
        say(f"NOT AUDITED: the advisories at {OSV} cannot be reached ({error}).")
        say("What is locked may have known vulnerabilities; run `make audit` where they can be reached.")
        return 1 if os.environ.get("AUDIT_REQUIRED") else 0
    export = [str(BIN / "uv"), "export", "--quiet", "--frozen", "--all-extras", "--all-groups", "--no-emit-project"]
    locked = subprocess.run(export, cwd=HERE, check=True, capture_output=True, text=True).stdout
    command = [str(BIN / "pip-audit"), *AUDIT, "--progress-spinner", "off", "--requirement", "/dev/stdin"]
    done = subprocess.run(command, input=locked, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        say(f"pip-audit failed: {done.stderr[-2000:]}")
        return 1
    wrong = [f"{one['name']} was not audited: {one['skip_reason']}" for one in found if "skip_reason" in one]
    for one in found:
        for known in one.get("vulns", []):
            mended = ", ".join(known["fix_versions"]) or "no version"
            wrong.append(f"{one['name']} {one['version']}: {known['id']}, mended in {mended}")
    for line in wrong:
        say(line)
    say(f"{len(found)} packages audited, {len(wrong)} to look at.")
    return 1 if wrong or not found else 0


def say(line: str) -> None:
    """Write a line."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
