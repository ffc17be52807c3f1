"""The setting that says which modules are imported before kernels are forked."""

import pytest
from pydantic import ValidationError

from pressroom.settings import Settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("auto", "auto"),
        (" auto ", "auto"),
        ("none", []),
        ("", []),
        ("pandas", ["pandas"]),
        ("pandas, matplotlib.pyplot,", ["pandas", "matplotlib.pyplot"]),
    ],
)
def test_what_is_written_is_meant(monkeypatch: pytest.MonkeyPatch, written: str, meant: object) -> None:
    monkeypatch.setenv("PRESSROOM_PRELOAD", written)
    assert Settings().preload == meant


def test_left_out_it_is_auto() -> None:
    assert Settings().preload == "auto"


@pytest.mark.parametrize("wrong", ["pandas;numpy", "../x", "pandas,auto", "none,numpy", "1x", "a..b", "import os"])
def test_what_is_no_module_is_named(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PRESSROOM_PRELOAD", wrong)
    with pytest.raises(ValidationError, match="is no module's name"):
        Settings()
