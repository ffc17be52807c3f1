"""What must not get in: paths that lead out, and files that are no notebooks."""

import json
from pathlib import Path
from typing import Any

import httpx
import nbformat
import pytest

write_notebook = pytest.write_notebook  # type: ignore[attr-defined]


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def paths_that_lead_out(home: Path) -> list[str]:
    """Thirty and more ways out of the directory of `ana`, into that of `bo` or to the system."""
    bo = home.parent / "bo"
    write_notebook(bo / "secret.ipynb", "1")
    (home / "link.ipynb").symlink_to(bo / "secret.ipynb")
    (home / "folder").symlink_to(bo)
    (home / "root").symlink_to("/")
    (home / "loop.ipynb").symlink_to(home / "loop.ipynb")
    (home / "up").symlink_to("..")
    (home / "chain").symlink_to(home / "up")
    (home / "sub").mkdir()
    return [
        str(bo / "secret.ipynb"),
        "../bo/secret.ipynb",
        f"{home}/../bo/secret.ipynb",
        f"{home}/sub/../../bo/secret.ipynb",
        f"{home}/./../bo/./secret.ipynb",
        f"{home}//..//bo//secret.ipynb",
        "sub/../../bo/secret.ipynb",
        "link.ipynb",
        str(home / "link.ipynb"),
        "folder/secret.ipynb",
        "folder/../bo/secret.ipynb",
        "up/bo/secret.ipynb",
        "chain/bo/secret.ipynb",
        f"root{bo}/secret.ipynb",
        f"/proc/self/root{bo}/secret.ipynb",
        f"/proc/self/cwd/../../../../..{bo}/secret.ipynb",
        f"/proc/1/root{bo}/secret.ipynb",
        "loop.ipynb",
        "/etc/passwd",
        "/etc/passwd.ipynb",
        "../../../../../../../etc/hosts.ipynb",
        "secret.ipynb\x00.txt",
        "../bo/secret.ipynb\x00",
        "\x00",
        "..\uff0fbo\uff0fsecret.ipynb",
        "\uff0e\uff0e/bo/secret.ipynb",
        "\u2025/bo/secret.ipynb",
        "..\\bo\\secret.ipynb",
        "a/" * 300 + "x.ipynb",
        "x" * 600 + ".ipynb",
        "n" * 300 + ".ipynb",
        "~bo/secret.ipynb",
        "$HOME/secret.ipynb",
        "file://" + str(bo / "secret.ipynb"),
        "",
    ]


def test_no_path_leads_out_of_the_users_directory(http: httpx.Client, home: Path, notebook: Path) -> None:
    tries = paths_that_lead_out(home)
    assert len(tries) >= 30
    before = snapshot(home.parent)
    for path in tries:
        requests: list[tuple[str, dict[str, Any]]] = [
            ("/execute", {"username": "ana", "input_path": path}),
            ("/run-notebook", {"username": "ana", "input_path": str(notebook), "output_path": path}),
            ("/db/notebooks", {"username": "ana", "name": "x", "file_path": path}),
        ]
        for address, body in requests:
            answer = http.post(address, json=body)
            assert answer.status_code in (403, 404, 422), (address, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert len(answer.json()["detail"]) > 20
        download = http.get("/download-notebook", params={"username": "ana", "path": path})
        assert download.status_code in (403, 404, 422), (path, download.text)
    assert snapshot(home.parent) == before
    assert http.get("/db/executions").headers["x-total-count"] == "0"


def malformed() -> dict[str, bytes]:
    good: dict[str, Any] = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])))
    [cell] = good["cells"]

    def whole(**changes: Any) -> bytes:
        return json.dumps(good | changes).encode()

    def with_cell(**changes: Any) -> bytes:
        return whole(cells=[cell | changes])

    def without(*names: str) -> bytes:
        return json.dumps({k: v for k, v in good.items() if k not in names}).encode()

    no_id = {k: v for k, v in cell.items() if k != "id"}
    return {
        "empty": b"",
        "text": b"not json",
        "half": whole()[:-10],
        "binary": bytes(range(256)),
        "null": b"null",
        "list": b"[]",
        "number": b"4",
        "string": b'"nbformat"',
        "object": b"{}",
        "v3": json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}).encode(),
        "v5": whole(nbformat=5),
        "version text": whole(nbformat="4"),
        "version null": whole(nbformat=None),
        "version list": whole(nbformat=[4]),
        "minor text": whole(nbformat_minor="5"),
        "no minor": without("nbformat_minor"),
        "no ids": whole(cells=[no_id]),
        "same ids": whole(cells=[cell, cell]),
        "empty id": with_cell(id=""),
        "number id": with_cell(id=1),
        "no cells": without("cells"),
        "cells null": whole(cells=None),
        "cells object": whole(cells={}),
        "cell null": whole(cells=[None]),
        "cell text": whole(cells=["1"]),
        "no metadata": without("metadata"),
        "metadata list": whole(metadata=[]),
        "unknown cell type": with_cell(cell_type="heading"),
        "source number": with_cell(source=1),
        "source null": with_cell(source=None),
        "outputs object": with_cell(outputs={}),
        "output unknown": with_cell(outputs=[{"output_type": "x"}]),
        "deep": b'{"nbformat": 4, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "40 MB": b" " * 40 * 2**20 + whole(),
    }


def test_a_malformed_notebook_is_refused_in_words_wherever_it_comes_in(http: httpx.Client, home: Path) -> None:
    tries = malformed()
    assert len(tries) >= 30
    for name, data in tries.items():
        answer = http.post("/upload-notebook", files={"file": ("up.ipynb", data)})
        assert answer.status_code == (413 if name == "40 MB" else 422), (name, answer.text)
        assert len(answer.json()["detail"]) > 20
        assert list(home.iterdir()) == []
        path = home / "on-disk.ipynb"
        path.write_bytes(data)
        for address, body in (
            ("/execute", {"input_path": str(path)}),
            ("/db/notebooks", {"name": "x", "username": "ana", "file_path": str(path)}),
        ):
            answer = http.post(address, json=body)
            assert answer.status_code == 422, (name, answer.text)
            assert answer.json()["type"].endswith("/notebook-invalid")
        path.unlink()
    assert http.get("/db/executions").headers["x-total-count"] == "0"
    assert http.get("/db/notebooks").headers["x-total-count"] == "0"
