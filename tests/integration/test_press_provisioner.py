"""The kernel provisioner, as Jupyter programs use it: through jupyter_client's managers."""

import asyncio
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import tempfile
import venv
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.factory import KernelProvisionerFactory

from ports import free_port
from pressroom.press.provisioner import PressroomProvisioner
from pressroom.press.server import ForkServer

PATIENCE = 60
SPEC = {
    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    "display_name": "Forked",
    "language": "python",
    "metadata": {"kernel_provisioner": {"provisioner_name": "pressroom-provisioner"}},
}


class Kernels:
    """Kernel specs in a folder of the test's own, and the kernels that were started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.managers: list[AsyncKernelManager] = []
        self.clients: list[Any] = []

    def spec(self, name: str = "forked", **changes: Any) -> str:
        path = self.folder / "kernels" / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "kernel.json").write_text(json.dumps(SPEC | changes))
        return name

    async def start(self, name: str = "forked", **options: Any) -> tuple[AsyncKernelManager, Any]:
        manager = AsyncKernelManager(kernel_name=name)
        self.managers.append(manager)
        await manager.start_kernel(**options)
        return manager, await self.client(manager)

    async def client(self, manager: AsyncKernelManager) -> Any:
        client = manager.client()
        self.clients.append(client)
        client.start_channels()
        await client.wait_for_ready(timeout=PATIENCE)
        return client

    async def end(self) -> None:
        for client in self.clients:
            client.stop_channels()
        for manager in self.managers:
            if manager.has_kernel:
                await manager.shutdown_kernel(now=True)
            else:
                await manager.cleanup_resources()
            manager.context.destroy()


@pytest.fixture
async def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kernels]:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    made = Kernels(tmp_path)
    made.spec()
    yield made
    await made.end()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each kernel that is forked."""
    counted: list[int] = []
    fork = ForkServer.fork
    monkeypatch.setattr(ForkServer, "fork", lambda self, *args: (counted.append(self.pid), fork(self, *args))[1])
    return counted


async def said(client: Any, code: str) -> str:
    """What code writes; or how it failed."""
    written: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            written.append(message["content"]["text"])

    reply = await client.execute_interactive(code, output_hook=hear, timeout=PATIENCE, allow_stdin=False)
    content = reply["content"]
    return "".join(written).strip() if content["status"] == "ok" else content.get("ename", "aborted")


async def test_a_kernel_is_forked_and_speaks_over_sockets_that_only_its_user_can_reach(
    kernels: Kernels, forks: list[int]
) -> None:
    manager, client = await kernels.start()

    assert forks
    assert isinstance(manager.provisioner, PressroomProvisioner)
    assert manager.provisioner.process is None
    assert (manager.transport, manager.has_kernel, await manager.is_alive()) == ("ipc", True, True)
    folder = Path(manager.ip).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.iterdir())) == 5
    assert int(await said(client, "import os; print(os.getpid())")) == manager.provisioner.pid

    await manager.shutdown_kernel()
    assert not folder.exists()
    assert not psutil.pid_exists(manager.provisioner.pid)


async def test_ports_that_the_manager_was_told_of_are_used(kernels: Kernels, forks: list[int]) -> None:
    manager = AsyncKernelManager(kernel_name="forked")
    kernels.managers.append(manager)
    manager.shell_port = 0
    manager.iopub_port = free_port()
    await manager.start_kernel()
    client = await kernels.client(manager)

    assert (manager.transport, await said(client, "print(1)")) == ("tcp", "1")
    assert forks


async def test_the_environment_the_folder_and_the_arguments_are_those_of_the_launch(
    kernels: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM", "here")
    kernels.spec("own", env={"OF_SPEC": "${FROM} and there"}, display_name="My kernel", interrupt_mode="message")
    folder = tmp_path / "work"
    folder.mkdir()
    environment = os.environ | {"GIVEN": "yes"}
    manager, client = await kernels.start(
        "own", cwd=str(folder), env=environment, extra_arguments=["--HistoryManager.hist_file=:memory:"]
    )

    shown = "import os, json; ip = get_ipython(); print(json.dumps([os.getcwd(), os.environ['OF_SPEC'], "
    shown += "os.environ['GIVEN'], str(ip.history_manager.hist_file), os.getsid(0) == os.getpid()]))"
    assert json.loads(await said(client, shown)) == [str(folder), "here and there", "yes", ":memory:", True]
    assert manager.kernel_spec.display_name == "My kernel"
    assert manager.resolve_path("a") is None
    (folder / "a").touch()
    assert manager.resolve_path("a") == str(folder / "a")


@pytest.mark.parametrize("mode", ["signal", "message"])
async def test_an_interrupt_ends_the_cell_and_what_it_has_started(kernels: Kernels, mode: str) -> None:
    manager, client = await kernels.start(kernels.spec("interrupted", interrupt_mode=mode))
    # This child ends by the signal whenever it comes; Python's own sleep misses one that comes just before it.
    code = "import subprocess\nchild = ['sh', '-c', 'echo 1; exec sleep 600']\n"
    code += "started = subprocess.Popen(child, stdout=subprocess.PIPE)\n"
    code += "print(started.stdout.readline(), flush=True)\nstarted.wait()"
    name = client.execute(code, stop_on_error=False)  # else what comes right after the error is taken for sent ahead
    while True:
        message = await client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "stream":
            break
    await manager.interrupt_kernel()
    while (reply := await client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != name:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert await said(client, "started.wait(); print('alive')") == "alive"


async def test_a_restart_gives_a_fresh_kernel_at_the_same_address(kernels: Kernels, forks: list[int]) -> None:
    manager, client = await kernels.start()
    first, address = manager.provisioner.pid, manager.get_connection_info()
    await said(client, "x = 1")

    for now in (False, True):
        await manager.restart_kernel(now=now)
        await client.wait_for_ready(timeout=PATIENCE)
        assert manager.provisioner.pid != first
        assert manager.get_connection_info() == address
        assert await said(client, "x") == "NameError"
    assert len(forks) == 3


async def test_a_manager_may_start_again_after_a_shutdown(kernels: Kernels) -> None:
    manager, client = await kernels.start()
    await manager.shutdown_kernel()
    client.stop_channels()
    manager.context = zmq.asyncio.Context()  # it has closed its own
    await manager.start_kernel()
    assert await said(await kernels.client(manager), "print('again')") == "again"


async def test_a_kernel_closes_nothing_before_its_threads_have_ended(kernels: Kernels, tmp_path: Path) -> None:
    manager, client = await kernels.start()
    ended = tmp_path / "ended"
    code = f"""
import atexit, threading
from pathlib import Path
from ipykernel.kernelapp import IPKernelApp

app, gate = IPKernelApp.instance(), threading.Event()
own = threading.Thread(target=gate.wait)
own.start()
threading._register_atexit(gate.set)

@atexit.register  # the last to come is the first to be called: before ipykernel's own
def _():
    threads = app.control_thread, app.shell_channel_thread, own
    Path({str(ended)!r}).write_text(str([thread.is_alive() for thread in threads]))
"""
    assert await said(client, code) == ""
    await manager.shutdown_kernel()
    assert ended.read_text() == "[False, False, False]"


@pytest.mark.parametrize(
    ("code", "number"), [("import os; os._exit(7)", 7), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9)]
)
async def test_the_end_of_a_kernel_is_told_with_its_exit_code(kernels: Kernels, code: str, number: int) -> None:
    manager, client = await kernels.start()
    waiting = [asyncio.create_task(manager.provisioner.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    client.execute(code)
    async with asyncio.timeout(PATIENCE):
        assert await asyncio.gather(*waiting) == [number, number]
    assert not manager.has_kernel
    assert not await manager.is_alive()


@pytest.mark.parametrize(("how", "number"), [("terminate", -signal.SIGTERM), ("kill", -signal.SIGKILL)])
async def test_a_kernel_is_ended_by_signals_as_with_the_stock_launcher(kernels: Kernels, how: str, number: int) -> None:
    manager, _ = await kernels.start()
    assert await manager.provisioner.poll() is None
    await getattr(manager.provisioner, how)()
    async with asyncio.timeout(PATIENCE):
        assert await manager.provisioner.wait() == number


async def test_two_kernels_at_once_know_nothing_of_each_other(kernels: Kernels) -> None:
    (one, first), (two, second) = await asyncio.gather(kernels.start(), kernels.start())
    await said(first, "x = 1")
    assert await said(second, "x") == "NameError"
    assert one.provisioner.pid != two.provisioner.pid
    await one.shutdown_kernel()
    assert await said(second, "print('here')") == "here"


async def test_a_kernel_ends_with_the_process_that_asked_for_it(kernels: Kernels) -> None:
    code = (
        "import os, signal; from jupyter_client.manager import start_new_kernel\n"
        "m, c = start_new_kernel(kernel_name='forked'); print(m.provisioner.pid, m.provisioner.process, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    pid, stock = out.decode().split()
    assert stock == "None"
    async with asyncio.timeout(PATIENCE):
        while psutil.pid_exists(int(pid)):
            await asyncio.sleep(0.05)


async def test_a_manager_that_blocks_can_use_it(kernels: Kernels) -> None:
    code = (
        "from jupyter_client.manager import start_new_kernel\n"
        "m, c = start_new_kernel(kernel_name='forked')\n"
        "c.execute_interactive('print(6 * 7)', timeout=60); m.restart_kernel(); c.wait_for_ready(timeout=60)\n"
        "c.stop_channels(); m.shutdown_kernel(); print(m.is_alive(), m.has_kernel, m.provisioner.process)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert out.decode().split() == ["42", "False", "False", "None"]


async def test_an_interpreter_without_ipykernel_is_left_to_the_stock_launcher(
    kernels: Kernels, tmp_path: Path, caplog: pytest.LogCaptureFixture, forks: list[int]
) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    kernels.spec("bare", argv=[str(tmp_path / "bare" / "bin" / "python"), *SPEC["argv"][1:]])
    caplog.set_level(logging.INFO, "pressroom.press")
    for _ in range(2):
        manager = AsyncKernelManager(kernel_name="bare")
        kernels.managers.append(manager)
        await manager.start_kernel(stderr=subprocess.DEVNULL)
        assert manager.provisioner.process is not None
        async with asyncio.timeout(PATIENCE):
            assert await manager.provisioner.wait() == 1
    told = [record.getMessage() for record in caplog.records if "'bare'" in record.getMessage()]
    assert len(told) == 1
    assert "No module named 'ipykernel'" in told[0]
    assert not forks


async def test_a_launch_that_a_fork_cannot_have_is_left_to_the_stock_launcher(
    kernels: Kernels, caplog: pytest.LogCaptureFixture, forks: list[int]
) -> None:
    caplog.set_level(logging.INFO, "pressroom.press")
    manager, client = await kernels.start(kernels.spec("before"), preexec_fn=lambda: None)
    assert manager.provisioner.process is not None
    assert await said(client, "print('stock')") == "stock"
    assert "they are launched with preexec_fn" in caplog.text
    assert not forks


async def test_a_kernel_that_there_is_not_and_a_folder_that_there_is_not_are_told(
    kernels: Kernels, tmp_path: Path
) -> None:
    with pytest.raises(NoSuchKernel):
        await kernels.start("nothing")
    with pytest.raises(FileNotFoundError):
        await kernels.start(cwd=str(tmp_path / "nowhere"))


async def test_all_kernels_can_be_its_own(monkeypatch: pytest.MonkeyPatch, kernels: Kernels) -> None:
    spec = KernelSpecManager().get_kernel_spec("python3")
    monkeypatch.setattr(KernelProvisionerFactory.instance(), "default_provisioner_name", "pressroom-provisioner")
    made = KernelProvisionerFactory.instance().create_provisioner_instance("k", spec, parent=None)
    assert isinstance(made, PressroomProvisioner)
    info = {"kernel_id": "k", "connection_info": {"ip": "x"}, "pid": 5, "pgid": 5, "ip": None}
    await made.load_provisioner_info(info)
    assert await made.get_provisioner_info() == info
    assert not made.has_process


async def test_its_output_goes_where_the_launch_says(
    kernels: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # by which ipykernel knows that it is tested, and leaves the files alone
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        _, client = await kernels.start(stdout=out, stderr=err)
        late = "import atexit, os; atexit.register(lambda: (os.write(ip_out, b'out'), os.write(ip_err, b'err')))\n"
        fds = "import sys; ip_out, ip_err = sys.__stdout__.fileno(), sys.__stderr__.fileno()\n"
        find = "ip_out, ip_err = sys.stdout._original_stdstream_copy, sys.stderr._original_stdstream_copy\n"
        assert await said(client, fds + find + late) == ""
        await kernels.managers[0].shutdown_kernel()
    assert (tmp_path / "out").read_text() == "out"
    assert (tmp_path / "err").read_text() == "err"


def test_no_folder_of_sockets_is_left() -> None:
    """Those of this process's kernels: named for nobody else."""
    code = (
        "import tempfile, os; tempfile.tempdir = os.environ['HERE']\n"
        "from jupyter_client.manager import start_new_kernel\n"
        "m, c = start_new_kernel(kernel_name='python3'); c.stop_channels()\n"
        "print(m.transport, os.listdir(tempfile.tempdir) != [])"
    )
    with tempfile.TemporaryDirectory(prefix="pt-") as here:
        environment = os.environ | {"HERE": here, "JUPYTER_DEFAULT_PROVISIONER_NAME": "pressroom-provisioner"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.stdout.split() == ["ipc", "True"], done.stderr
        assert [name for name in os.listdir(here) if name.startswith("pressroom-")] == []
