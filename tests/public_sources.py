"""Notebooks that others publish, from the source archives of their projects: fetched once by pip, pinned by hash.

Only the archive is wanted, and pip asks a source's own build system for its name and version first. Small stand-ins for
these build systems answer from the archive's ``PKG-INFO``, so that nothing of a source is installed, built or run.
"""

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from platformdirs import user_cache_path

_BUILD_SYSTEMS = ("hatchling.build", "mesonpy", "setuptools.build_meta", "jupyter_packaging.build_api")
_STAND_IN = """
import shutil, sys
from email.parser import HeaderParser
from pathlib import Path

__legacy__ = sys.modules[__name__]

def get_requires_for_build_wheel(config_settings=None):
    return []

def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    facts = HeaderParser().parsestr(Path("PKG-INFO").read_text(encoding="utf-8"))
    made = Path(metadata_directory, f"{facts['Name'].replace('-', '_')}-{facts['Version']}.dist-info")
    made.mkdir()
    shutil.copy("PKG-INFO", made / "METADATA")
    return made.name

def build_wheel(*_):
    raise NotImplementedError
"""
_SEPARATOR = re.compile(r"^(?:# ?%%.*|#{20,}\s*)$", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """A source archive. ``sha256``: of the archive."""

    name: str
    version: str
    sha256: str

    def folder(self) -> Path:
        """The archive, unpacked. Raises ``CalledProcessError`` where it cannot be fetched."""
        cache = user_cache_path("pressroom-tests") / "sources"
        cache.mkdir(parents=True, exist_ok=True)
        unpacked = cache / f"{self.name}-{self.version}-{self.sha256[:12]}"
        with (cache / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not unpacked.exists():
                self._fetch(unpacked)
        return next(path for path in unpacked.iterdir() if path.is_dir())

    def _fetch(self, unpacked: Path) -> None:
        with tempfile.TemporaryDirectory(dir=unpacked.parent) as work:
            stand_ins, wanted, got = Path(work, "stand-ins"), Path(work, "wanted.txt"), Path(work, "got")
            for name in _BUILD_SYSTEMS:
                module = stand_ins.joinpath(*name.split(".")).with_suffix(".py")
                module.parent.mkdir(parents=True, exist_ok=True)
                module.write_text(_STAND_IN)
                # A package, since one that is installed would come before a folder without it.
                module.with_name("__init__.py").touch()
            wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n")
            command = (
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                *("--no-binary", ":all:", "--use-pep517", "--no-build-isolation", "--require-hashes"),
                *("--dest", str(got), "--requirement", str(wanted)),
            )
            environment = {**os.environ, "PYTHONPATH": str(stand_ins)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{self.name} {self.version} cannot be fetched: {done.stderr}"
            (archive,) = got.iterdir()
            with tarfile.open(archive) as tar:
                tar.extractall(Path(work, "unpacked"), filter="data")
            Path(work, "unpacked").rename(unpacked)


def placed(source: Source, path: str, folder: Path) -> NotebookNode:
    """A notebook of a source, in format 4, and the files beside it copied into ``folder``."""
    file = source.folder() / path
    for beside in file.parent.iterdir():
        if beside.is_file() and beside.suffix in {".png", ".svg", ".txt", ".csv", ".jpg", ".jpeg"}:
            shutil.copy(beside, folder)
    if file.suffix == ".py":
        return converted(file.read_text(encoding="utf-8"))
    return nbformat.read(file, as_version=4)


def converted(script: str) -> NotebookNode:
    """An example in sphinx-gallery's form as a notebook: comments after a separator are text, the rest is code."""
    first = ast.parse(script).body[0]
    docstring = ast.get_docstring(ast.parse(script)) or ""
    cells = [nbformat.v4.new_code_cell("%matplotlib inline"), nbformat.v4.new_markdown_cell(docstring)]
    body = "\n".join(script.splitlines()[first.end_lineno if docstring else 0 :])
    for number, block in enumerate(_SEPARATOR.split(body)):
        lines = block.strip("\n").splitlines()
        text = 0
        while number and text < len(lines) and lines[text].startswith("#"):
            text += 1
        if text:
            cells.append(nbformat.v4.new_markdown_cell("\n".join(line[1:].strip() for line in lines[:text])))
        if code := "\n".join(lines[text:]).strip("\n"):
            cells.append(nbformat.v4.new_code_cell(code))
    return nbformat.v4.new_notebook(cells=cells)
