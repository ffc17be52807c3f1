"""What a hostile notebook tries, a function each: it answers with what it got, or raises ``OSError`` where refused.

Each is sent as the source of a cell, so it stands alone. ``target`` says where the victim's things are, and the
service's. None of them does harm where it succeeds: signals are signal 0, which asks for the same right.
"""

import inspect
from collections.abc import Callable
from typing import Any

Target = dict[str, Any]
Attempt = Callable[[Target], Any]
ATTEMPTS: list[Attempt] = []


def attempt(function: Attempt) -> Attempt:
    """List a function as an attempt."""
    ATTEMPTS.append(function)
    return function


def source_of(function: Attempt) -> str:
    """A cell, or a program, that makes the attempt with ``target`` and prints what it got."""
    lines = inspect.getsource(function).split("\n", 1)[1]  # without the decorator
    return f"""
import json
from typing import Any
Target = dict
{lines}
try:
    got = {function.__name__}(target)
except OSError as error:
    got = None
print(json.dumps({{"got": repr(got)[:300] if got else None}}))
"""


# --- files ----------------------------------------------------------------------------------------------------------


@attempt
def read_its_notebook(target: Target) -> Any:
    return open(target["notebook"]).read()


@attempt
def read_its_output(target: Target) -> Any:
    return open(target["output"]).read()


@attempt
def list_its_home(target: Target) -> Any:
    import os

    return os.listdir(target["home"])


@attempt
def write_into_its_home(target: Target) -> Any:
    import os

    path = os.path.join(target["home"], f"planted-{os.getuid()}")
    open(path, "w").close()
    os.unlink(path)
    return path


@attempt
def read_its_temporary_file(target: Target) -> Any:
    return open(target["temporary"]).read()


@attempt
def link_to_its_temporary_file(target: Target) -> Any:
    import os

    mine = f"{target['temporary']}-{os.getuid()}"
    os.link(target["temporary"], mine)
    os.unlink(mine)
    return mine


@attempt
def read_the_systems_secrets(target: Target) -> Any:
    got = []
    for path in ("/etc/shadow", "/etc/gshadow", "/proc/1/environ", "/proc/1/mem"):
        try:
            got.append(open(path, "rb").read(1))
        except OSError:
            pass
    return got


@attempt
def take_its_file_for_oneself(target: Target) -> Any:
    import os

    state = os.stat(target["temporary"])
    os.chown(target["temporary"], state.st_uid, state.st_gid)
    return "chown"


@attempt
def give_a_file_to_root(target: Target) -> Any:
    import os
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        os.chown(file.name, 0, 0)
    return "chown"


@attempt
def make_a_device(target: Target) -> Any:
    import os
    import stat
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.mknod(f"{folder}/kmem", stat.S_IFCHR | 0o600, os.makedev(1, 2))
    return "mknod"


# --- processes ------------------------------------------------------------------------------------------------------


@attempt
def read_its_environment(target: Target) -> Any:
    return open(f"/proc/{target['kernel']}/environ", "rb").read()


@attempt
def read_its_memory(target: Target) -> Any:
    maps = open(f"/proc/{target['kernel']}/maps").read().splitlines()
    start = next(int(line.split("-")[0], 16) for line in maps if "[heap]" in line or " rw-p " in line)
    with open(f"/proc/{target['kernel']}/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        return memory.read(16)


@attempt
def read_its_memory_by_a_system_call(target: Target) -> Any:
    import ctypes
    import os

    class Piece(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    libc = ctypes.CDLL(None, use_errno=True)
    room = ctypes.create_string_buffer(16)
    local = Piece(ctypes.addressof(room), 16)
    # The address is one of this process: without the right, the system says so before it looks.
    there = Piece(ctypes.addressof(room), 16)
    done = libc.process_vm_readv(target["kernel"], ctypes.byref(local), 1, ctypes.byref(there), 1, 0)
    number = ctypes.get_errno()
    if done < 0 and number != 14:  # EFAULT: it may look, and nothing is there
        raise OSError(number, os.strerror(number))
    return "may look"


@attempt
def open_its_files_and_folders(target: Target) -> Any:
    import os

    got = []
    for pid in (target["kernel"], target["runner"]):
        for name in ("fd", "map_files", "cwd", "root"):
            try:
                got += os.listdir(f"/proc/{pid}/{name}")
            except OSError:
                pass
    return got


@attempt
def take_its_socket(target: Target) -> Any:
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    got = []
    for pid in (target["kernel"], target["runner"], target["service"], *target["servers"]):
        handle = os.pidfd_open(pid)
        for number in range(8):
            fd = libc.syscall(438, handle, number, 0)  # pidfd_getfd
            if fd >= 0:
                got.append((pid, number))
                os.close(fd)
        os.close(handle)
    return got


@attempt
def trace_its_kernel_and_runner(target: Target) -> Any:
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    got = []
    for pid in (target["kernel"], target["runner"]):
        if libc.ptrace(0x4206, pid, None, None) == 0:  # PTRACE_SEIZE: it goes on as it was
            libc.ptrace(0x4207, pid, None, None)  # PTRACE_INTERRUPT
            os.waitpid(pid, 0x40000000)
            libc.ptrace(17, pid, None, None)  # PTRACE_DETACH
            got.append(pid)
    return got


@attempt
def trace_the_service_its_fork_servers_and_keepers(target: Target) -> Any:
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    got = []
    for pid in (target["service"], *target["servers"], *target["keepers"]):
        if libc.ptrace(0x4206, pid, None, None) == 0:
            libc.ptrace(0x4207, pid, None, None)
            os.waitpid(pid, 0x40000000)
            libc.ptrace(17, pid, None, None)
            got.append(pid)
    return got


@attempt
def signal_its_kernel_and_runner(target: Target) -> Any:
    import os

    got = []
    for pid in (target["kernel"], target["runner"]):
        try:
            os.kill(pid, 0)
            got.append(pid)
        except PermissionError:
            pass
    return got


@attempt
def signal_the_service_its_fork_servers_and_keepers(target: Target) -> Any:
    import os

    got = []
    for pid in (target["service"], *target["servers"], *target["keepers"]):
        for send in (os.kill, os.killpg):
            try:
                send(pid if send is os.kill else os.getpgid(pid), 0)
                got.append(pid)
            except PermissionError:
                pass
    return got


@attempt
def starve_them(target: Target) -> Any:
    """Give others less of the machine: limits, processors, priorities."""
    import os
    import resource

    got = []
    for pid in (target["kernel"], target["runner"], target["service"], *target["servers"], *target["keepers"]):
        for what, call in (
            ("limits", lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE)),
            ("processors", lambda pid=pid: os.sched_setaffinity(pid, os.sched_getaffinity(pid))),
            ("priority", lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))),
        ):
            try:
                call()
                got.append((pid, what))
            except PermissionError:
                pass
    return got


# --- the service and its database -----------------------------------------------------------------------------------


@attempt
def read_the_services_environment_and_memory(target: Target) -> Any:
    got = []
    for pid in (target["service"], *target["servers"], *target["keepers"]):
        for name in ("environ", "mem", "maps", "fd/3", "auxv"):
            try:
                with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
                    got.append(file.read(1) if name != "mem" else name)
            except OSError:
                pass
    return got


@attempt
def find_its_secret_in_what_processes_tell(target: Target) -> Any:
    import glob

    got = []
    for path in (*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/cmdline")):
        try:
            if target["marks"][0].encode() in open(path, "rb").read():
                got.append(path)
        except OSError:
            pass
    return got


@attempt
def read_the_databases_files(target: Target) -> Any:
    import os

    return os.listdir(target["pgdata"])


@attempt
def connect_to_the_database(target: Target) -> Any:
    import socket

    with socket.socket(socket.AF_UNIX) as tried:
        tried.connect(target["pgsocket"])
        return "connected"


@attempt
def connect_to_its_kernels_sockets(target: Target) -> Any:
    import glob
    import socket

    got = []
    for path in (target["connection"], *glob.glob(f"{target['connection'].rsplit('/', 1)[0]}/*")):
        try:
            got.append(open(path).read())
        except OSError:
            pass
        with socket.socket(socket.AF_UNIX) as tried:
            try:
                tried.connect(path)
                got.append(path)
            except OSError:
                pass
    return got


@attempt
def connect_to_every_socket_of_the_service(target: Target) -> Any:
    """Those that the system lists, abstract ones, too."""
    import socket

    got = []
    for line in open("/proc/net/unix").read().splitlines()[1:]:
        name = [*line.split(maxsplit=7), ""][7]
        if "pressroom" not in name and "PGSQL" not in name:
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as tried:
                try:
                    tried.connect("\0" + name[1:] if name.startswith("@") else name)
                    got.append(name)
                except OSError:
                    pass
    return got


@attempt
def read_a_key_of_its_session(target: Target) -> Any:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    key = libc.syscall(target["keyctl"], 10, -3, b"user", target["key"].encode(), 0)  # KEYCTL_SEARCH
    room = ctypes.create_string_buffer(100)
    return key > 0 and libc.syscall(target["keyctl"], 11, key, room, 100) > 0 and room.value  # KEYCTL_READ


# --- becoming somebody else -----------------------------------------------------------------------------------------


@attempt
def become_root(target: Target) -> Any:
    import os

    got = []
    for call in (
        lambda: os.setuid(0),
        lambda: os.seteuid(0),
        lambda: os.setresuid(0, 0, 0),
        lambda: os.setgid(0),
        lambda: os.setresgid(0, 0, 0),
        lambda: os.setgroups([0]),
    ):
        try:
            call()
            got.append((os.getresuid(), os.getresgid(), os.getgroups()))
        except PermissionError:
            pass
    return got


@attempt
def become_the_victim(target: Target) -> Any:
    import os

    pid = os.fork()
    if pid == 0:
        try:
            os.setresuid(target["uid"], target["uid"], target["uid"])
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


@attempt
def regain_capabilities(target: Target) -> Any:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)(1 << 1 | 1 << 7, 1 << 1 | 1 << 7, 0, 0, 0, 0)  # CAP_DAC_OVERRIDE, CAP_SETUID
    return libc.capset(header, sets) == 0


@attempt
def use_a_program_that_runs_as_root(target: Target) -> Any:
    import shutil
    import subprocess

    got = []
    for words in (["su", "root", "-c", "id -u"], ["sudo", "-n", "id", "-u"], ["pkexec", "id", "-u"]):
        if shutil.which(words[0]):
            done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=20)
            got += [words[0]] if done.stdout.strip() == "0" else []
    return got


@attempt
def make_a_program_of_ones_own_run_as_root(target: Target) -> Any:
    import os
    import shutil
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(shutil.which("id"), folder)
        try:
            os.chown(copy, 0, 0)
        except PermissionError:
            pass
        os.chmod(copy, 0o6755)
        return subprocess.run([copy, "-u"], capture_output=True, text=True).stdout.strip() == "0"


@attempt
def mount_something(target: Target) -> Any:
    import ctypes
    import os

    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        done = libc.unshare(0x00020000) or libc.mount(b"none", b"/mnt", b"tmpfs", 0, None)  # CLONE_NEWNS
        os._exit(1 if done else 0)
    return os.waitpid(pid, 0)[1] == 0
