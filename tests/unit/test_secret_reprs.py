"""What holds values of parameters does not show them when it is written into a log or a traceback."""

from typing import Any

import pytest

from pressroom.client import live_calls
from pressroom.executions.orders import Order
from pressroom.executions.parameters_used import ParametersUsed
from pressroom.executions.schemas import ExecuteRequest, NotebookExecutionRequest, RunRequest
from pressroom.identity.attempt import Attempt
from pressroom.notebooks.schemas import NotebookFromTemplate

GIVEN: dict[str, Any] = {"token": "sesame-canary"}


@pytest.mark.parametrize(
    "holder",
    [
        ParametersUsed(GIVEN, frozenset({"token"})),
        Order(parameters=GIVEN, notebook_id=1),
        ExecuteRequest.model_validate({"input_path": "n.ipynb", "parameters": GIVEN}),
        RunRequest.model_validate({"input_path": "n.ipynb", "params": GIVEN}),
        NotebookExecutionRequest.model_validate({"parameters": GIVEN}),
        NotebookFromTemplate.model_validate({"notebook_id": 1, "file_path": "n.ipynb", "parameters": GIVEN}),
        live_calls.submit("n.ipynb", GIVEN, {}),
        Attempt("sesame-canary", 1, "/docs"),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_it_shows_no_value(holder: object) -> None:
    assert "canary" not in f"{holder!r} {holder}"
