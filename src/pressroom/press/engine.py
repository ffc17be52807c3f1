# Papermill ships no types: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Papermill's engine ``pressroom``: ``papermill IN OUT --engine pressroom``."""

from typing import Any

from papermill.engines import Engine, NBClientEngine, NotebookExecutionManager
from papermill.log import logger
from papermill.utils import merge_kwargs, remove_args

OTHERS = frozenset(
    {
        "allow_error_names", "config", "error_on_timeout", "extra_arguments", "interrupt_on_timeout", "km",
        "kernel_manager_class", "on_cell_complete", "on_cell_error", "on_cell_execute", "on_cell_executed",
        "on_cell_start", "on_notebook_complete", "on_notebook_error", "on_notebook_start", "parent", "resources",
        "shutdown_kernel", "timeout_func",
    }
)  # fmt: skip
"""Options of nbclient's that are about its own way to a kernel: with one of them, Papermill's usual engine is used."""


class PressroomEngine(Engine):
    """Papermill's engine whose kernels are forked, and whose files are not written anew after each short cell."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: float = 60,
        execution_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Run the cells of a notebook; the arguments are those of Papermill's usual engine.

        Raises :class:`nbclient.exceptions.CellTimeoutError` and :class:`nbclient.exceptions.DeadKernelError` as that
        does, ``RuntimeError`` where the kernel does not come up, and ``NoSuchKernel``.
        """
        # Papermill loads its engines while it is itself loaded: what needs it must come later.
        from pressroom.press.papermill_execution import Execution, run_to_end  # noqa: PLC0415

        given = {"log_output": log_output, "stdout_file": stdout_file, "stderr_file": stderr_file}
        if others := sorted(OTHERS & kwargs.keys()):
            logger.info(f"The options {', '.join(others)} are for Papermill's usual engine, which is used.")
            timeouts = {"start_timeout": start_timeout, "execution_timeout": execution_timeout}
            NBClientEngine.execute_managed_notebook(nb_man, kernel_name, **given, **timeouts, **kwargs)
            return
        options = merge_kwargs(
            remove_args(["input_path", "timeout", "startup_timeout"], **kwargs),
            **given,
            timeout=execution_timeout or kwargs.get("timeout"),
            kernel_name=kernel_name,
            log=logger,
        )
        run_to_end(Execution(nb_man, kernel_name, start_timeout, options).run())
