"""Whether an execution can get the kernel that it needs, as far as that is known."""

import pytest

from pressroom.errors import KernelNotThere
from pressroom.executions.kernels import LivingKernels


@pytest.mark.parametrize(
    "workers",
    [
        [],
        [[None, None]],
        [[None, ["python3"]]],
        [[["gpu"], ["bash"]]],
        [[["gpu"], ["bash"]], [["gpu", "reports"], ["python3"]]],
        [[None, ["bash"]], [["reports"], None]],
    ],
)
def test_a_kernel_may_be_there_while_a_worker_of_the_queue_has_it_or_has_not_told(workers: list[list[object]]) -> None:
    LivingKernels.of(workers).require("python3", "reports")


@pytest.mark.parametrize(
    ("workers", "names"),
    [
        ([[None, []]], []),
        ([[None, ["bash", "ir"]], [["reports"], ["bash", "julia"]], [["gpu"], ["python3"]]], ["bash", "ir", "julia"]),
    ],
)
def test_a_kernel_that_no_worker_of_the_queue_has_is_named_with_those_that_there_are(
    workers: list[list[object]], names: list[str]
) -> None:
    with pytest.raises(KernelNotThere) as refused:
        LivingKernels.of(workers).require("python3", "reports")
    assert (refused.value.kernel, refused.value.queue, refused.value.kernels) == ("python3", "reports", names)
    assert refused.value.detail.endswith(f"those that exist: {', '.join(names) or 'none'}.")


def test_a_kernel_is_there_whatever_the_case_of_its_name() -> None:
    LivingKernels.of([[None, ["python3", "ir"]]]).require("IR", "default")


def test_a_commands_own_queue_is_served_by_nobody_else() -> None:
    LivingKernels.of([[None, ["bash"]]]).require("python3", "@0123")
