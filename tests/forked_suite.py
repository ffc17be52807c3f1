"""A pytest plugin: another project's suite runs with kernels that are forked, and tells how many were.

Its kernels come by Jupyter's provisioner, or, for Papermill's suite, by the engine that takes the usual one's place.
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pressroom.press.server import ForkServer

counts: Counter[str] = Counter()
failed: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cov", help="pytest-cov's, which ipykernel's tests ask for; it is not used")


def pytest_configure(config: pytest.Config) -> None:
    fork = ForkServer.fork

    def counted(self: ForkServer, *args: Any) -> None:
        fork(self, *args)
        counts["forked"] += 1

    ForkServer.fork = counted  # type: ignore[method-assign]
    if os.environ.get("FORKED_SUITE_ENGINE"):
        from papermill.engines import papermill_engines

        from pressroom.press.engine import PressroomEngine

        papermill_engines.register(None, PressroomEngine)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        counts[report.outcome] += 1
        if report.failed:
            failed.append(f"{report.nodeid}\n{report.longreprtext[-3000:]}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        failed.append(f"{report.nodeid}\n{report.longreprtext[-3000:]}")


def pytest_sessionfinish() -> None:
    Path(os.environ["FORKED_SUITE_REPORT"]).write_text(json.dumps({**counts, "failures": failed}))
