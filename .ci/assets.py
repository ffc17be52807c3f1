"""Fetches the files that pages load of others, each from the npm package and the version that is pinned here, by the
registry that npm is configured with; and puts them, with their licences, where the wheel takes them from.

What is fetched must be what was fetched when it was pinned: its SHA-512 is checked before anything is unpacked.
"""

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "src" / "pressroom" / "web" / "static" / "vendor"


@dataclass(frozen=True)
class Package:
    """A package, the SHA-512 of its archive as npm writes it, and what is taken: path in it → name here."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]


PACKAGES = [
    Package(
        "htmx.org",
        "2.0.8",
        "sha512-fm297iru0iWsNJlBrjvtN7V9zjaxd+69Oqjh4F/Vq9Wwi2kFisLcrLCiv5oBX0KLfOX/zG8AUo9ROMU5XUB44Q==",
        {"package/dist/htmx.min.js": "htmx.min.js", "package/LICENSE": "htmx.LICENSE.txt"},
    ),
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {
            "package/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
            "package/dist/uPlot.min.css": "uPlot.min.css",
            "package/LICENSE": "uPlot.LICENSE.txt",
        },
    ),
]

FILES = {
    "htmx.LICENSE.txt": ("kRf+Kdn0W+I2iWY4TpIw1y3lz98ecu581O8HegVrmPQcLoPblHkESM6APUBCxasf6e3BOloQKZ4LQ5vNw/Q0Mw=="),
    "htmx.min.js": ("CGXFnDNv5q48ciFeIyWFcfZhqYW0sSBiPO+HZDO3XLM+p8xjhezz5CCxtkXVDKfCbvF+iUhel7xoeSp19o7x7g=="),
    "uPlot.LICENSE.txt": ("Jq1RNLJNonsKli9o1tenKiBqppxMs3bElPMv2IfNU0bXwymuiMyRl4UQgH45VJTBR1OXaDEt3+Q+WPH1O+DNVQ=="),
    "uPlot.iife.min.js": ("jfm4wrxgq73ZXFzyYPRmgfQd7yYjtsH57SzfgjpieX4rgnfHAMAZJgQ1YLTsc6HOX+1tnGjnkFuerbc8oI2mJg=="),
    "uPlot.min.css": ("xXYYvGoPqOjhMwkpkxWTDv7HvlyrkyEqzc4USFr/ZtBYC7eklE3DNBDccqiMj2VzRKSffZzeqVRckdYzJx9qfQ=="),
}
"""The SHA-512 of each file that is taken: what lies in the repository is held to it, without the internet."""


def main() -> int:
    """The exit code."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            archive = fetched(package, Path(folder))
            with tarfile.open(archive) as opened:
                for path, name in package.files.items():
                    found = opened.extractfile(path)
                    assert found is not None, f"{package.name} has no {path}"
                    data = found.read()
                    assert digest_of(data) == FILES[name], f"{name} is not what was pinned: {digest_of(data)}"
                    (VENDOR / name).write_bytes(data)
        sys.stderr.write(f"{package.name} {package.version}: {', '.join(package.files.values())}\n")
    return 0


def digest_of(data: bytes) -> str:
    """The SHA-512 of some bytes, as npm writes it."""
    return base64.b64encode(hashlib.sha512(data).digest()).decode()


def fetched(package: Package, folder: Path) -> Path:
    """The package's archive in ``folder``. Ends with an error where it is not the one that was pinned."""
    command = ["npm", "pack", "--json", "--ignore-scripts", f"{package.name}@{package.version}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    archive = folder / json.loads(done.stdout)[0]["filename"]
    digest = digest_of(archive.read_bytes())
    if f"sha512-{digest}" != package.integrity:
        sys.exit(f"{package.name} {package.version} is not what was pinned: sha512-{digest}")
    return archive


if __name__ == "__main__":
    sys.exit(main())
