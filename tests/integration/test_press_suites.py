"""The public suites of ipykernel, nbclient and Papermill, as their projects release them, over kernels that are forked.

The sources come by pip, pinned by hash; where they cannot be had, the tests fail. What is left out of a suite is listed
here, with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from public_sources import Source

IPYKERNEL = Source("ipykernel", "7.4.0", "4330114d22b9b33575b2c7c68753fc8faabbbcfbc60b0cdff9f14dd4ce63742f")
NBCLIENT = Source("nbclient", "0.11.0", "04a134a5b087f2c5887f228aca155db50169b8cd9334dee6942c8e927e56081a")
PAPERMILL = Source("papermill", "2.7.0", "ec10b37594a060662f57269e1ebd108c209d204450f00fdfeb70a1c7cfb7fbc8")
# Of ipykernel, the files that start kernels through Jupyter's manager. The others test its classes in the test's own
# process, kernels inside another program, or command lines that start Python themselves: nothing of that is forked.
CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
markers =
    timeout: how many seconds a test may take
    flaky: a test that may be tried again
"""


@dataclass(frozen=True)
class Suite:
    """A part of a project's suite. ``package``: the folder of the archive that is needed; ``files``: those that are
    run; ``left_out``: what is not, and why; ``passed`` and ``forked``: the fewest tests and kernels that must be."""

    name: str
    source: Source
    package: str
    files: tuple[str, ...]
    passed: int
    forked: int
    chosen: str = ""
    engine: bool = False
    left_out: dict[str, str] = field(default_factory=dict)

    def run(self, folder: Path) -> dict:
        """Run it in a folder: how many tests came to which end, and how many kernels were forked."""
        shutil.copytree(self.source.folder() / self.package, folder / self.package)
        (folder / "pytest.ini").write_text(CONFIGURATION)
        report = folder / "report.json"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environment |= {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "FORKED_SUITE_REPORT": str(report),
            "JUPYTER_DEFAULT_PROVISIONER_NAME": "pressroom-provisioner",
        }
        if self.engine:
            environment["FORKED_SUITE_ENGINE"] = "1"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "forked_suite", "-p", "no:cacheprovider"]
        if self.chosen:
            command += ["-k", self.chosen]
        for test in self.left_out:
            command += ["--deselect", f"{self.package}/{test}"]
        command += [f"{self.package}/{file}" for file in self.files]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
        assert report.exists(), done.stdout + done.stderr
        return json.loads(report.read_text())


SUITES = [
    Suite(
        "ipykernel-kernel",
        IPYKERNEL,
        "tests",
        ("test_kernel.py", "test_async.py"),
        passed=30,
        forked=12,
        left_out={
            "test_kernel.py::test_print_to_correct_cell_from_thread[none]": "its thread and its next cell run a race"
        },
    ),
    Suite(
        "ipykernel-messages", IPYKERNEL, "tests", ("test_message_spec.py", "test_subshells.py"), passed=45, forked=12
    ),
    Suite("nbclient-notebooks", NBCLIENT, "tests", ("test_client.py",), passed=18, forked=20, chosen="_notebooks"),
    Suite(
        "nbclient-client",
        NBCLIENT,
        "tests",
        ("test_client.py",),
        passed=60,
        forked=12,
        chosen="not _notebooks",
    ),
    Suite(
        "papermill",
        PAPERMILL,
        "papermill",
        tuple(f"tests/test_{name}.py" for name in ("execute", "engines", "autosave", "clientwrap", "exceptions")),
        passed=65,
        forked=20,
        engine=True,
        left_out={
            "tests/test_execute.py::TestNotebookHelpers::test_start_timeout": "looks into the usual engine",
            "tests/test_execute.py::TestNotebookHelpers::test_default_start_timeout": "looks into the usual engine",
            "tests/test_execute.py::TestBrokenNotebook2::test": "imports from IPython what version 9 no longer has",
        },
    ),
]


@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
def test_a_public_suite_passes_over_forked_kernels(suite: Suite, tmp_path: Path) -> None:
    report = suite.run(tmp_path)

    assert report["failures"] == []
    assert report["passed"] >= suite.passed
    assert report["forked"] >= suite.forked
