"""The OpenAPI document: complete, reviewed, and true."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from pressroom import health
from pressroom.app import create_app
from pressroom.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")
REQUESTS = 5000


def document() -> dict[str, Any]:
    return create_app(Settings(local_user="ana")).openapi()


def test_the_document_is_the_one_that_was_reviewed() -> None:
    """``PRESSROOM_UPDATE_SNAPSHOT=1`` writes it anew; the difference is seen in review."""
    text = json.dumps(document(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("PRESSROOM_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(text)
    assert SNAPSHOT.read_text() == text


def test_every_operation_has_a_summary_a_description_one_tag_and_its_problems() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)
            assert len(operation["tags"]) == 1, (method, path)
            assert "application/problem+json" in operation["responses"]["default"]["content"], (method, path)


def test_every_operation_has_an_example() -> None:
    """Of what is sent, or of what is answered."""
    whole = document()

    def shown(part: Any) -> Any:
        """``part`` and every schema that it refers to, once."""
        seen: dict[str, Any] = {}
        waiting = [json.dumps(part)]
        while waiting:
            for name in re.findall(r"#/components/schemas/(\w+)", waiting.pop()):
                if name not in seen:
                    seen[name] = whole["components"]["schemas"][name]
                    waiting.append(json.dumps(seen[name]))
        return [part, seen]

    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            answers = {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
            parts = [operation.get("parameters"), operation.get("requestBody"), answers]
            assert re.search(r'"examples?":', json.dumps(shown(parts))), (method, path)


def test_thousands_of_generated_requests_find_no_fault(
    service: Any, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No server error, no answer that is not documented, no hang, in at least 5,000 requests."""
    # A busy machine may take longer than /health waits for the database, which is no fault of a request.
    monkeypatch.setattr(health, "ANSWER_SECONDS", 10)
    served = httpx.get(f"{service.url}/openapi.json").json()
    for operations in served["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]  # any status at all would be documented by it
            # Else each request is given a token that nobody made, and never comes to its endpoint.
            operation.pop("security", None)
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(served))
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", str(schema), "--url", service.url),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        # In one thread: in two, Python 3.11's parser now and then mistakes the depth of one for that of the other
        # ("AST constructor recursion depth mismatch", https://github.com/python/cpython/issues/106905).
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "50", "--workers", "1"),
        *("--request-timeout", "30", "--generation-database", "none", "--no-color", "--continue-on-failure"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"(\d+) generated", done.stdout)
    assert found is not None, done.stdout[-2000:]
    assert int(found[1]) >= REQUESTS
