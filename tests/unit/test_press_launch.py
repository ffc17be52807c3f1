"""Which kernels can be forked, and how a fork server for them is started."""

import sys

import pytest
from jupyter_client.kernelspec import KernelSpec

from pressroom.press.launch import CannotFork, Launch

ARGV = ["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def launch(argv: list[str], **spec: object) -> Launch:
    made = KernelSpec(**({"argv": argv, "language": "python", "display_name": "n"} | spec))
    return Launch.of("n", made, {"HOME": "/home/ann", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("argv", "python", "rest"),
    [
        (ARGV, (sys.executable,), ()),
        (["/opt/env/bin/python", *ARGV[1:]], ("/opt/env/bin/python",), ()),
        (["/opt/python", "-Xfrozen_modules=off", *ARGV[1:]], ("/opt/python", "-Xfrozen_modules=off"), ()),
        ([*ARGV, "--colors=NoColor"], (sys.executable,), ("--colors=NoColor",)),
        (["python", "-m", "ipykernel", "-f", "{connection_file}"], (sys.executable,), ()),
    ],
)
def test_a_python_kernel_is_forked_by_its_own_interpreter(
    argv: list[str], python: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    assert launch(argv).interpreter() == (python, rest)


@pytest.mark.parametrize(
    ("argv", "spec", "why"),
    [
        (["R", "--slave", "-e", "IRkernel::main()", "{connection_file}"], {"language": "R"}, "their language is R"),
        (["bash", "-m", "ipykernel_launcher", "-f"], {}, "not started as python -m ipykernel_launcher"),
        (["conda", "run", "python", *ARGV[1:]], {}, "started by conda, which is more than an interpreter"),
        (["python", "/opt/launch.py", "{connection_file}"], {}, "not started as python -m ipykernel_launcher"),
        (ARGV, {"metadata": {"kernel_provisioner": {"provisioner_name": "k8s"}}}, "they are started by k8s"),
    ],
)
def test_others_are_left_to_the_stock_launcher_and_it_is_said_why(
    argv: list[str], spec: dict[str, object], why: str
) -> None:
    with pytest.raises(CannotFork, match=why):
        launch(argv, **spec).interpreter()


def test_forking_is_left_alone_where_it_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CannotFork, match="forking is not safe on darwin"):
        launch(ARGV).interpreter()


def test_the_variables_of_a_spec_are_added_and_may_name_others() -> None:
    made = launch(ARGV, env={"DATA": "${HOME}/data", "PATH": "/opt:${PATH}", "LEFT": "${MISSING}"})
    assert made.environment == {
        "HOME": "/home/ann",
        "DATA": "/home/ann/data",
        "PATH": "/opt:/bin",
        "LEFT": "${MISSING}",
    }
