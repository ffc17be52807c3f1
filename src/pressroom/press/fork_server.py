# It runs in the interpreters of kernel specs and subclasses ipykernel's classes, which have no types.
# pyright: basic, reportOptionalMemberAccess=false, reportAttributeAccessIssue=false, reportPrivateImportUsage=false
"""A fork server: a process that has loaded what kernels need, and forks one fresh kernel for each request.

It runs under the interpreter and in the environment of a kernel spec, needs nothing there but ipykernel, and is one
file for that reason: ``python fork_server.py FD SETTINGS``. ``FD`` is a stream socket to its owner; when its owner is
gone, the server ends. ``SETTINGS`` is JSON (see :class:`Settings`).

For each kernel there are two processes. The *keeper* is the parent of the kernel: it hears the owner's wishes over a
control socket, tells how the kernel ended, and is a subreaper, so that nothing that the kernel started gets away. The
kernel leads its own session. When the control socket is closed, the keeper kills all of it, so a kernel ends with
whoever asked for it, however that ended. A keeper runs nothing of a notebook's, so it serves one kernel after the
other: as soon as one is gone it forks the next, which waits for its request.

What only the new process may know, its environment and what it works on, comes in a file that it alone reads, once it
is what it was asked to become (see :func:`enclosed`): all others are forked from those that have seen the request, and
would inherit it.

A kernel serves one client in one of two ways:

- ``line``: an ipykernel of ours whose Jupyter messages go over one socket pair, a JSON object a line. Its shell was
  built before the fork, and nothing is handed to other threads.
- ``zmq``: ipykernel's own application, as ``python -m ipykernel_launcher`` starts it.
"""

from __future__ import annotations

import array
import asyncio
import atexit
import base64
import codecs
import collections
import ctypes
import functools
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import select
import signal
import site
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AHEAD = 1
"""How many kernels are forked ahead of need."""
KEPT = 4
"""How many keepers without a request are kept, each with the kernel that waits in it."""
REHEARSAL_SECONDS = 10
"""How long a rehearsal may take."""
GROWN_MB = 64
"""How much a process that serves again may have grown, in MiB."""
FLUSH_SECONDS = 0.1
"""How long text that a cell wrote waits for more of it."""
BUFFER = 2**16
"""How many characters wait at most."""

KNOWN_UNSAFE = {
    "cupy": "it opens a GPU context",
    "grpc": "its threads do not survive a fork",
    "jax": "its threads do not survive a fork",
    "jpype": "it starts a Java machine",
    "polars": "its thread pool does not survive a fork",
    "pycuda": "it opens a GPU context",
    "ray": "its threads do not survive a fork",
    "rpy2": "it embeds R",
    "tensorflow": "its threads do not survive a fork",
    "torch_xla": "its threads do not survive a fork",
}
"""Libraries that are not loaded ahead, and why."""

FORK_SAFE_THREADS = {"jemalloc_bg_thd"}
"""Threads of libraries that start them anew after a fork: jemalloc's, which PyArrow and so pandas has."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 15, 36, 38
_MADV_POPULATE_WRITE, _MFD_CLOEXEC = 23, 1
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56  # of an entry of /proc/self/pagemap
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}
_KEYCTL_JOIN_SESSION_KEYRING = 1
_libc = ctypes.CDLL(None, use_errno=True)


# --- what both sides of a socket do ---------------------------------------------------------------------------------


def send(sock: socket.socket, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
    """Send a JSON object (its length in 4 bytes, then its text) and open files. Raises ``OSError``."""
    text = json.dumps(message).encode()
    data = memoryview(len(text).to_bytes(4, "big") + text)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], ancillary)
    if sent < len(data):
        sock.sendall(data[sent:])


def receive(sock: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next object and its open files; ``(None, [])`` at the end."""
    room = socket.CMSG_SPACE(16 * array.array("i").itemsize)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    try:
        data, ancillary, _, _ = sock.recvmsg(4, room, flags)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        if len(data) < 4:
            return None, []
        text = bytearray()
        while (missing := int.from_bytes(data, "big") - len(text)) > 0:
            piece = sock.recv(missing)
            if not piece:
                return None, []
            text += piece
    except ConnectionResetError:
        return None, []
    return json.loads(text), list(fds)


def enclosed(private: Mapping[str, Any]) -> int:
    """A file of no name that holds a JSON object: whoever passes it on reads nothing of it. Raises ``OSError``."""
    # Not os.memfd_create: where Python was built for an old C library, it is not there.
    fd = _libc.memfd_create(b"pressroom", _MFD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(json.dumps(private).encode())
    except BaseException:
        os.close(fd)
        raise
    return fd


def disclosed(fd: int) -> dict[str, Any]:
    """What :func:`enclosed` put into a file, which is closed."""
    with open(fd, "rb") as file:
        file.seek(0)
        return json.load(file)


def name_process(name):
    """How the process is shown by ``ps`` (at most 15 bytes)."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def children(pid):
    """The processes whose parent is ``pid``."""
    found = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found


def kill_below(wake, spared=()):
    """Kill all that descends from this process, but for the children in ``spared``; returns when it is gone."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        living = [child for child in children(os.getpid()) if child not in spared]
        if not living:
            return
        for pid in living:
            for below in (pid, *_below(pid)):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(below, signal.SIGKILL)
        for pid in living:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if any(child not in spared for child in children(os.getpid())):
            select.select([wake], [], [], 0.05)  # the next one's end is told here
            _drain(wake)


def _below(pid):
    for child in children(pid):
        yield child
        yield from _below(child)


def _drain(wake):
    with suppress(BlockingIOError):
        while wake.recv(4096):
            pass


def heed_children():
    """A socket that becomes readable whenever a child ends."""
    wake, told = socket.socketpair()
    wake.setblocking(False)
    told.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    return wake


def open_files():
    """The files that this process has open."""
    found = {int(name) for name in os.listdir("/proc/self/fd")}
    return {fd for fd in found if os.path.lexists(f"/proc/self/fd/{fd}")}  # not the one by which they were listed


def close_all_but(*kept):
    """Close every open file but the standard ones and those ``kept``."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in kept:
            with suppress(OSError):
                os.close(fd)


# --- the server -----------------------------------------------------------------------------------------------------


class Settings:
    """What the owner says at the start: ``mode`` (``line``, ``zmq`` or ``call``), ``argv`` of the kernel's application,
    ``preload`` (modules), ``memory_mb`` (how large the server may grow by loading them), ``refused`` (modules that
    an earlier start found unfit, each with the reason), ``ahead``, and for ``call`` the function to ``call``."""

    def __init__(self, given):
        self.mode = given["mode"]
        self.argv = given.get("argv", [])
        self.preload = given.get("preload", [])
        self.memory_mb = given.get("memory_mb", 1024)
        self.refused = dict(given.get("refused", {}))
        self.ahead = given.get("ahead", AHEAD)
        self.call = given.get("call")
        # Kernels have prepared themselves the longer they wait; a process that served a moment ago is the quickest.
        self.next = -1 if self.mode == "call" else 0
        self.path = given.get("path", [])
        self.ahead_of_cwd = frozenset()


class Server:
    """Forks a child for each request."""

    def __init__(self, owner, settings):
        self.owner, self.settings = owner, settings
        self.forks = 0
        self.wake = heed_children()
        self.keepers = set()
        """The processes of the keepers."""
        self.sockets = {}
        """The socket to each keeper, by its number."""
        self.idle = []
        self.hungry = settings.ahead > 0
        self.poll = select.poll()

    def load(self):
        """Load what kernels need; restarts this process without a library that turns out to be unfit."""
        loaded, settings = [], self.settings
        for name in settings.preload:
            top = name.partition(".")[0]
            if top in settings.refused:
                continue
            if top in KNOWN_UNSAFE:
                settings.refused[top] = KNOWN_UNSAFE[top]
                continue
            if resident_mb() > settings.memory_mb:
                settings.refused[top] = f"the fork server is larger than {settings.memory_mb} MiB, its limit"
                continue
            send(self.owner, {"loading": top, "refused": settings.refused})
            try:
                importlib.import_module(name)
            except BaseException as error:  # whatever a library raises while it is loaded, it cannot be loaded ahead
                settings.refused[top] = f"it cannot be imported: {type(error).__name__}: {str(error)[:200]}"
                self.restart()
            if why := unfit():
                settings.refused[top] = why
                self.restart()
            if resident_mb() > settings.memory_mb:
                settings.refused[top] = f"with it, the fork server would be larger than {settings.memory_mb} MiB"
                self.restart()
            loaded.append(name)
        send(self.owner, {"loading": "", "refused": settings.refused})
        return loaded

    def restart(self):
        """Begin again, without what was refused: what was loaded cannot be unloaded."""
        given = json.loads(sys.argv[2]) | {"refused": self.settings.refused}
        os.set_inheritable(self.owner.fileno(), True)
        signal.set_wakeup_fd(-1)
        ours = [sys.executable, *_flags(), __file__, sys.argv[1], json.dumps(given)]
        os.execv(sys.executable, ours)  # noqa: S606 - this program again, without a shell

    def serve(self):
        """Serve until the owner is gone."""
        name_process("pressroom-forks")
        child = self.child
        packages = {path: os.stat(path).st_mtime_ns for path in sys.path if os.path.isdir(path)}
        before = tops()
        with Noting():
            loaded = self.load()
        self.settings.ahead_of_cwd = tops() - before
        packages |= sources(loaded)
        child.prepare(self.settings)
        # Frozen objects are not visited by the collector, so that its marks do not unshare their pages.
        gc.collect()
        gc.freeze()
        child.rehearse(self.settings)
        facts = {"ready": True, "pid": os.getpid(), "preloaded": loaded, "refused": self.settings.refused}
        send(self.owner, facts | {"packages": packages})
        self.poll.register(self.owner, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)
        while True:
            # Ahead of need, and only while nobody asks.
            readable = [fd for fd, _ in self.poll.poll(0 if self.hungry else None)]
            for fd in readable:
                if fd == self.wake.fileno():
                    _drain(self.wake)
                    self.reap()
                elif fd in self.sockets:
                    self.hear(fd)
            if self.owner.fileno() in readable:
                request, fds = receive(self.owner)
                if request is None:
                    return  # those that wait end with this process; those at work, with whoever asked for them
                if "report" in request:
                    send(self.owner, {"forks": self.forks, "pss": proportional_bytes()})
                else:
                    self.fork(request, fds)
            elif not readable and self.hungry:
                self.hungry = False
                if len(self.idle) < self.settings.ahead:
                    self.idle.append(self.spawn())

    def fork(self, request, fds):
        """Give a request to a child. The first of the files are its keeper's: the control socket, and what it only
        holds open until it ends."""
        self.forks += 1
        while True:
            keeper = self.idle.pop(self.settings.next) if self.idle else self.spawn()
            try:
                send(self.sockets[keeper], request, fds)
            except OSError:
                self.forget(keeper)  # it was killed while it waited
                continue
            break
        for fd in fds:
            os.close(fd)
        self.hungry = True

    def spawn(self):
        """Fork a keeper, and the child that waits in it."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                close_all_but(theirs.fileno())
                Keeper(theirs, self.child, self.settings).keep()
            except BaseException:  # nothing but the reason may get out of a child
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        keeper = ours.fileno()
        self.keepers.add(pid)
        self.sockets[keeper] = ours
        self.poll.register(ours, select.POLLIN)
        return keeper

    def hear(self, keeper):
        """A keeper has nothing to do any more, or is gone."""
        said, _ = receive(self.sockets[keeper])
        if said is not None and len(self.idle) < KEPT:
            self.idle.append(keeper)
            with suppress(OSError):
                send(self.sockets[keeper], {"stay": True})
        else:
            self.forget(keeper)

    def forget(self, keeper):
        """Have no more to do with a keeper, which then ends."""
        if keeper in self.idle:
            self.idle.remove(keeper)  # the next request makes another: where none can be forked, this would never end
        self.poll.unregister(keeper)
        self.sockets.pop(keeper).close()

    def reap(self):
        """Take leave of keepers that have ended, and kill what one left behind that was itself killed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.keepers:
                self.keepers.discard(pid)
                if os.WIFSIGNALED(status):
                    kill_below(self.wake, self.keepers)

    @property
    def child(self):
        """What a child does."""
        return {"line": LineChild, "zmq": ZmqChild, "call": CallChild}[self.settings.mode]


def _flags():
    import subprocess

    return subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]


def unfit():
    """Why this process cannot be forked, if so: threads that a fork does not end, or an open GPU."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith(("/dev/nvidia", "/dev/kfd", "/dev/dri")):
                return "it opens a GPU context"
    if threads():
        # Libraries that survive forks (OpenBLAS) end their threads before one.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        # A thread that was joined is listed for a moment still.
        deadline = time.monotonic() + 1
        while names := threads():
            if time.monotonic() > deadline:
                return f"it starts threads that do not survive a fork ({', '.join(names)})"
            os.sched_yield()
    return None


def threads():
    """The names of this process's threads, but for its main one and those that are known to care for forks."""
    names = []
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/comm") as file:
            name = file.read().strip()
            if int(task) != os.getpid() and name not in FORK_SAFE_THREADS:
                names.append(name)
    return names


def sources(loaded):
    """When the files of libraries were changed that are not installed but lie in somebody's folder."""
    tops = tuple(name.partition(".")[0] for name in loaded)
    found = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name.partition(".")[0] in tops and path and "-packages" + os.sep not in path:
            with suppress(OSError):
                found[path] = os.stat(path).st_mtime_ns
    return found


def tops():
    """The names of the loaded modules that are in no package, and of the packages."""
    return {name for name in sys.modules if "." not in name}


def yield_to_files(names):
    """Unload those of the modules that the working directory has a file or package of the same name for: a kernel looks
    there first, and would have found that one."""
    with suppress(OSError):
        for name in {entry.partition(".")[0] for entry in os.listdir()} & names:
            spec = importlib.machinery.PathFinder.find_spec(name, [os.getcwd()])
            if spec is not None and spec.loader is not None:  # a folder that is no package comes after packages
                for loaded in [key for key in sys.modules if key.partition(".")[0] == name]:
                    del sys.modules[loaded]


def resident_mb():
    """The memory of this process, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def proportional_bytes():
    """The proportional share of memory (PSS) of this process, in bytes."""
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def own_pages():
    """The pieces of memory, each an address and a length, that this process shared when it was forked and has written
    to since."""
    size, found = os.sysconf("SC_PAGE_SIZE"), []
    with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for line in maps.read().splitlines():
            area, access, *_ = line.split()
            if not access.startswith("rw-p") or line.endswith("[stack]"):
                continue
            start, end = (int(address, 16) for address in area.split("-"))
            pagemap.seek(start // size * 8)
            entries = array.array("Q", pagemap.read((end - start) // size * 8))
            for number, entry in enumerate(entries):
                if entry & _PRESENT and entry & _EXCLUSIVE:
                    address = start + number * size
                    if found and found[-1][0] + found[-1][1] == address:
                        found[-1][1] += size
                    else:
                        found.append([address, size])
    return found


def touch(pages):
    """Have pages of its own where a kernel will write, before anybody waits for it. A system that cannot do it, or has
    not as much memory, gives them later, one by one."""
    for address, length in pages:
        _libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), _MADV_POPULATE_WRITE)


# --- the keeper -----------------------------------------------------------------------------------------------------


class Keeper:
    """The parent of one kernel at a time. ``server``: the socket over which requests come."""

    def __init__(self, server, child, settings):
        self.server, self.child, self.settings = server, child, settings
        self.pid = 0
        self.work: Any = None
        self.stays = True
        """Whether another request may come, so that a child is to wait for it."""

    def keep(self):
        """Serve one request after the other until the server is gone, and leave nothing behind of any."""
        os.setsid()
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.wake = heed_children()
        while True:
            name_process("pressroom-idle")
            request, fds = self.awaited()
            if request is None:
                os._exit(0)  # the child that waits ends with it
            self.attend(request, fds)
            self.stays = False
            with suppress(OSError):
                send(self.server, {"free": True})

    def fork(self):
        """Fork a child that waits for its request."""
        keeper = os.getpid()
        self.work, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != keeper:
                    os._exit(1)
                signal.set_wakeup_fd(-1)
                self.server.close()
                self.work.close()
                self.wake.close()
                os.setsid()
                name_process("pressroom-wait")
                touch(self.child.pages)
                self.child().await_request(theirs, self.settings)
            except BaseException:  # as above
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()

    def awaited(self):
        """The next request, while a child waits for it."""
        while True:
            if self.pid == 0 and self.stays:
                self.fork()
            readable, _, _ = select.select([self.server, self.wake], [], [])
            if self.wake in readable:
                _drain(self.wake)
                if (status := _reaped(self.pid or -1)) is not None:
                    if os.WIFEXITED(status):
                        os._exit(1)  # it cannot even wait, and said why
                    self.leave()
            if self.server in readable:
                request, fds = receive(self.server)
                if request is None or "stay" not in request:
                    return request, fds
                self.stays = True

    def leave(self):
        """Take leave of the child."""
        self.work.close()
        self.pid = 0

    def attend(self, request, fds):
        """Give the child its request, do what is asked with it, and tell how it ended."""
        kept = request.get("keepers", 1)
        control = socket.socket(fileno=fds[0])
        while True:
            if self.pid == 0:
                self.fork()
            try:
                send(self.work, request, fds[kept:])
            except OSError:
                self.leave()  # it was killed while it waited
                continue
            break
        for fd in fds[kept:]:
            os.close(fd)
        name_process("pressroom-keep")
        with suppress(OSError):
            send(control, {"pid": self.pid})
        group, status, done = request.get("limits", {}).get("group"), None, False
        heeded = [control, self.work, self.wake]
        while status is None and not done:
            readable, _, _ = select.select(heeded, [], [])
            if self.wake in readable:
                _drain(self.wake)
                status = _reaped(self.pid)
            if self.work in readable:
                done = receive(self.work)[0] is not None
                if not done:
                    heeded.remove(self.work)
            if control in readable:
                message, _ = receive(control)
                if message is None:
                    heeded.remove(control)
                message = message or {"signal": int(signal.SIGKILL)}
                if "signal" in message:
                    _kill(self.pid, message["signal"], group=message.get("all", False))
                    if message["signal"] == signal.SIGKILL:
                        done = False  # it said so a moment before; it serves no more
                        if self.work in heeded:
                            heeded.remove(self.work)
        kill_below(self.wake, {self.pid} if status is None else ())
        end = {"exit": 0 if status is None else os.waitstatus_to_exitcode(status)}
        if status is not None:
            self.leave()
        if group is not None:
            end["oom"] = ended_group(group)
        with suppress(OSError):
            send(control, end)
        control.close()
        for fd in fds[1:kept]:
            os.close(fd)


def _kill(pid, number, *, group=False):
    with suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(pid, number)


def _reaped(wanted):
    """How the process ``wanted`` ended, if it has; others that have ended are taken leave of."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == wanted:
            found = status


def ended_group(path):
    """Remove a control group (version 2) whose processes have ended: whether it ran out of memory."""
    oom = False
    with suppress(OSError), open(f"{path}/memory.events") as file:
        oom = any(line.startswith("oom_kill ") and int(line.split()[1]) > 0 for line in file)
    with suppress(OSError):
        os.rmdir(path)
    return oom


# --- what a child puts right ----------------------------------------------------------------------------------------


class Child:
    """A forked process, from the fork to its work."""

    pages = ()
    inspectable = True
    """Whether other processes of the account that it becomes may look into it."""

    @classmethod
    def prepare(cls, settings):
        """What can be done before the fork."""

    @classmethod
    def rehearse(cls, settings):
        """Find out to which ``pages`` a child writes."""

    def await_request(self, requests, settings):
        """Wait for a request, and do what it asks for; the process ends with that."""
        request, fds = receive(requests)
        requests.close()
        if request is not None:
            self.run(request, fds, settings)

    def run(self, request, fds, settings, *kept):
        """Become what was asked for. ``fds``: the working directory, the standard error, what the work needs, and
        what else is asked (see :func:`enclosed`); ``kept``: other files that stay open."""
        folder, errors, *rest, private = fds
        close_all_but(folder, errors, *rest, private, *kept)
        null = os.open(os.devnull, os.O_RDWR)
        for number, fd in ((0, null), (1, errors), (2, errors)):
            os.dup2(fd, number)
        limit(request.get("limits", {}))
        if (account := request.get("account")) is not None:
            become(account, inspectable=self.inspectable)
        request |= disclosed(private)
        os.fchdir(folder)
        for fd in {folder, errors, null} - {0, 1, 2}:
            os.close(fd)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python has it
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(request["umask"])
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        reseed()
        name_process(request.get("title", "pressroom-krnl"))
        return self.work(request, rest, settings)

    def work(self, request, fds, settings):
        """What the child is for; whether it may serve again."""
        raise NotImplementedError


def become(account: Mapping[str, Any], *, inspectable: bool) -> None:
    """Become an account for good. Raises ``OSError`` where that cannot be; then nothing may be done for the account."""
    uid, gid, groups, parent = account["uid"], account["gid"], account["groups"], os.getppid()
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if (*os.getresuid(), *os.getresgid()) != (uid, uid, uid, gid, gid, gid) or set(os.getgroups()) != set(groups):
        raise PermissionError(f"this process could not become the account {uid}")
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PermissionError("programs that run as another account could not be ruled out")
    # Keys are whose session has them. A system that has no keys, or does not let anybody at them, refuses.
    if (keyctl := _KEYCTL.get(os.uname().machine)) is not None:
        _libc.syscall(keyctl, _KEYCTL_JOIN_SESSION_KEYRING, None)
    # What the change of the account has taken away.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    _libc.prctl(_PR_SET_DUMPABLE, int(inspectable), 0, 0, 0)


def limit(limits: Mapping[str, Any]) -> None:
    """Set the limits of an execution: ``group`` (a control group that has them), else ``memory_mb``, ``cpu_seconds``,
    ``processes``."""
    import resource

    if (group := limits.get("group")) is not None:
        with open(f"{group}/cgroup.procs", "w") as file:
            file.write("0")
    elif (memory := limits.get("memory_mb")) is not None:
        # What the libraries that are loaded already take of the address space is not the notebook's.
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        _lower(resource.RLIMIT_AS, taken + memory * 2**20)
    if (processes := limits.get("processes")) is not None:
        _lower(resource.RLIMIT_NPROC, processes)
    if (seconds := limits.get("cpu_seconds")) is not None:
        used = time.process_time()
        soft = max(1, int(-(-(used + seconds) // 1)))
        _lower(resource.RLIMIT_CPU, soft, soft + 5)


def _lower(kind, soft, hard=None):
    import resource

    _, most = resource.getrlimit(kind)
    hard = hard or soft
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(kind, (soft, hard))


UNSEEDED = []
"""Generators that libraries made when they were loaded, without a seed of their own: ``random.Random``."""
UNSEEDED_NUMPY = []
"""The same, NumPy's."""


class Noting:
    """While libraries are loaded, notes which generators they make without a seed."""

    def __enter__(self):
        self.seed = seed = random.Random.seed

        def noted(generator, a=None, version=2):
            UNSEEDED[:] = [known for known in UNSEEDED if known is not generator]
            if a is None and not isinstance(generator, random.SystemRandom):
                UNSEEDED.append(generator)
            seed(generator, a, version)

        random.Random.seed = noted

    def __exit__(self, *_):
        random.Random.seed = self.seed
        if (numpy := sys.modules.get("numpy.random")) is not None:
            for found in gc.get_objects():
                if isinstance(found, numpy.Generator):
                    # One that nobody seeded has its entropy from the system: 128 bits.
                    sequence = getattr(found.bit_generator, "seed_seq", None)
                    entropy = getattr(sequence, "entropy", None)
                    if isinstance(entropy, int) and entropy >= 2**64:
                        UNSEEDED_NUMPY.append(found)


def reseed():
    """Give this process random numbers of its own."""
    random.seed()
    for generator in UNSEEDED:
        generator.seed()
    for generator in UNSEEDED_NUMPY:
        generator.bit_generator.state = type(generator.bit_generator)().state
    if (numpy := sys.modules.get("numpy.random")) is not None:
        numpy.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.seed()
    if (process := sys.modules.get("multiprocessing.process")) is not None:
        process.current_process().authkey = os.urandom(32)
    if (tempfile := sys.modules.get("tempfile")) is not None:
        tempfile._name_sequence = None
        tempfile.tempdir = None
    if (names := sys.modules.get("uuid")) is not None and hasattr(names, "_last_timestamp"):
        names._last_timestamp = None


class CallChild(Child):
    """A process that calls a function of the service's: ``module:function(request, fds)``. Before the fork, ``warm()``
    of that module is called. Where the function returns true, the process is as it was before and serves again, unless
    it has become an account."""

    inspectable = False

    def await_request(self, requests, settings):
        while True:
            request, fds = receive(requests)
            if request is None or not self.run(request, fds, settings, requests.fileno()):
                os._exit(0)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()  # nothing of it is for the next request's
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            os.close(null)
            os.chdir("/")
            name_process("pressroom-wait")
            if resident_mb() > self.most_mb or open_files() - {0, 1, 2, requests.fileno()}:
                os._exit(0)
            send(requests, {"done": True})

    @classmethod
    def prepare(cls, settings):
        importlib.import_module(settings.call.partition(":")[0]).warm()
        cls.most_mb = resident_mb() + GROWN_MB

    def work(self, request, fds, settings):
        module, _, function = settings.call.partition(":")
        again = getattr(importlib.import_module(module), function)(request["request"], fds)
        return again and "account" not in request


def launcher():
    """What ``sys.argv`` of a kernel begins with."""
    spec = importlib.util.find_spec("ipykernel_launcher")
    return spec.origin if spec is not None else "ipykernel_launcher"


class ZmqChild(Child):
    """ipykernel's own application. ``fds``: its standard output, if that is not where its errors go."""

    def work(self, request, fds, settings):
        for fd in fds:
            os.dup2(fd, 1)
            os.close(fd)
        from ipykernel.kernelapp import IPKernelApp

        yield_to_files(settings.ahead_of_cwd)
        sys.argv = [launcher(), *request["argv"]]
        app = IPKernelApp.instance()
        app.initialize(request["argv"])
        app.start()
        # ipykernel closes its sockets among the exit functions, while these may yet be sending.
        for thread in (getattr(app, "control_thread", None), getattr(app, "shell_channel_thread", None)):
            if thread is not None and thread.is_alive():
                thread.stop()
                thread.join()
        threading._shutdown()  # as the interpreter's own end: threads that are not daemons are waited for
        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(0)


# --- a kernel on a line ---------------------------------------------------------------------------------------------


class Line:
    """The socket pair of one client: Jupyter messages, a JSON object a line, in the order in which they are sent."""

    def __init__(self):
        self.socket = None
        self.lock = threading.RLock()
        self.held = []
        self.inbox = b""
        self.sending = 0
        self.interrupted = False
        self.pid = 0
        self.main = None

    def open(self, sock):
        self.socket, self.pid, self.main = sock, os.getpid(), threading.get_ident()

    def send(self, message, *, hold=False):
        """Send a message; with ``hold``, together with the next one."""
        if self.socket is None or os.getpid() != self.pid:
            return  # a process that the notebook forked has no client
        try:
            line = json.dumps(message, default=_jsonable)
        except ValueError:
            from ipykernel.jsonutil import json_clean

            line = json.dumps(json_clean(message), default=_jsonable)
        mine = threading.get_ident() == self.main
        if mine:
            # An interrupt must not cut a message in two; it is raised when the message is sent.
            self.sending += 1
        try:
            with self.lock:
                self.held.append(line.encode())
                if not hold:
                    data = b"\n".join([*self.held, b""])
                    self.held.clear()
                    self.socket.sendall(data)
        finally:
            if mine:
                self.sending -= 1
        if mine and self.interrupted and not self.sending:
            self.interrupted = False
            raise KeyboardInterrupt

    def on_interrupt(self, *_):
        """What SIGINT does while a cell is executed."""
        if self.sending:
            self.interrupted = True
        else:
            raise KeyboardInterrupt

    def arrived(self):
        """The messages that have arrived; ``None`` when the client is gone."""
        while True:
            try:
                data = self.socket.recv(2**20, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.inbox += data
        *lines, self.inbox = self.inbox.split(b"\n")
        return [json.loads(line) for line in lines]


def _jsonable(value):
    from jupyter_client.jsonutil import json_default

    return json_default(value)


class Streams:
    """Standard output and error: what Python writes, and what reaches their files otherwise, in one order."""

    def __init__(self, publish):
        self.publish = publish
        self.lock = threading.RLock()
        self.pending = []
        self.size = 0
        self.pipes = {}
        self.decoders = {}
        self.pid = 0
        self.scheduled = False

    def open(self):
        """Put pipes in the place of the files 1 and 2, and watch them."""
        self.pid = os.getpid()
        for number, name in ((1, "stdout"), (2, "stderr")):
            read, write = os.pipe()
            os.dup2(write, number)
            os.close(write)
            os.set_blocking(read, False)
            self.pipes[read] = name
            self.decoders[read] = codecs.getincrementaldecoder("utf-8")("replace")
        self.nudged, self.nudge = os.pipe()
        os.set_blocking(self.nudge, False)
        threading.Thread(target=self._watch, name="pressroom-streams", daemon=True).start()

    def write(self, name, text):
        for start in range(0, len(text), BUFFER):
            self._write(name, text[start : start + BUFFER])

    def _write(self, name, text):
        with self.lock:
            if self.pending and self.pending[-1][0] == name:
                self.pending[-1][1].append(text)
            else:
                self.pending.append((name, [text]))
            self.size += len(text)
            if self.size >= BUFFER:
                self.flush()
            elif not self.scheduled:
                self.scheduled = True
                os.write(self.nudge, b".")

    def flush(self):
        with self.lock:
            pending, self.pending, self.size = self.pending, [], 0
            for name, texts in pending:
                self.publish(name, "".join(texts))

    def drain(self):
        """Take what lies in the pipes, and send all."""
        if os.getpid() != self.pid:
            return
        with self.lock:
            for fd in self.pipes:
                self._read(fd)
            self.flush()

    def _read(self, fd):
        with suppress(BlockingIOError):
            while data := os.read(fd, 65536):
                self.write(self.pipes[fd], self.decoders[fd].decode(data))
            return False
        return True

    def _watch(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        for fd in (*self.pipes, self.nudged):
            poll.register(fd, select.POLLIN)
        due = None
        while True:
            wait = None if due is None else max(0, due - time.monotonic()) * 1000
            for fd, _ in poll.poll(wait):
                if fd == self.nudged:
                    os.read(fd, 65536)
                    due = due or time.monotonic() + FLUSH_SECONDS
                else:
                    with self.lock:
                        if not self._read(fd):
                            poll.unregister(fd)  # the notebook has closed the other end
            if due is not None and time.monotonic() >= due:
                due = None
                with self.lock:
                    self.scheduled = False
                    self.flush()


class Stream(io.TextIOBase):
    """``sys.stdout`` or ``sys.stderr`` of a kernel on a line."""

    encoding = "UTF-8"
    errors = "replace"

    def __init__(self, streams, name, number):
        self._streams, self.name, self._number = streams, name, number

    @property
    def buffer(self):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'buffer'")

    def fileno(self):
        return self._number

    def isatty(self):
        return False

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        if os.getpid() != self._streams.pid:
            os.write(self._number, text.encode(errors="backslashreplace"))
        else:
            self._streams.write(self.name, text)
        return len(text)

    def writelines(self, lines):
        self.write("".join(lines))

    def flush(self):
        if os.getpid() == self._streams.pid:
            self._streams.flush()


def line_classes():
    """The kernel, its shell, its session and its application, made late: the ``zmq`` mode does without."""
    import ipykernel.ipkernel
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp
    from ipykernel.zmqshell import ZMQInteractiveShell
    from IPython.paths import get_ipython_dir
    from jupyter_client.session import Session
    from tornado.ioloop import IOLoop

    class LineSession(Session):
        """Jupyter messages that go over a line."""

        line = None
        count = 0

        def send(self, stream, msg_or_type, content=None, parent=None, ident=None, buffers=None, track=False,
                 header=None, metadata=None):  # fmt: skip
            if isinstance(msg_or_type, dict):
                message = msg_or_type
                kind, content, metadata = message["header"]["msg_type"], message["content"], message["metadata"]
                parent_header = message["parent_header"]
                buffers = buffers or message.get("buffers")
            else:
                kind = msg_or_type
                parent_header = (parent or {}).get("header", parent) or {}
            self.count += 1
            if kind == "execute_reply":
                # The error itself is among the outputs, whole.
                content = {key: value[:BUFFER] if isinstance(value, str) else value for key, value in content.items()}
                content.pop("traceback", None)
            sent = {
                "channel": "shell" if kind.endswith("_reply") else "iopub",
                "header": {"msg_id": f"k{self.count}", "msg_type": kind, "date": time.time()},
                "parent_header": {"msg_id": parent_header.get("msg_id")},
                "metadata": metadata or {},
                "content": {} if content is None else content,
            }
            if buffers:
                sent["buffers"] = [base64.b64encode(memoryview(piece)).decode() for piece in buffers]
            # What follows at once goes with it: a cell's input with its beginning, its reply with its end.
            begins = kind == "status" and sent["content"].get("execution_state") == "busy"
            self.line.send(sent, hold=begins or kind == "execute_reply")
            return sent | {"msg_type": kind}

    class LineShell(ZMQInteractiveShell):
        """ipykernel's shell, that transforms a cell once."""

        _last_transformed = (None, "")

        def transform_cell(self, raw_cell):
            if self._last_transformed[0] is not raw_cell:
                self._last_transformed = (raw_cell, super().transform_cell(raw_cell))
            return self._last_transformed[1]

    class LineKernel(IPythonKernel):
        """ipykernel's kernel, served by a line."""

        shell_class = LineShell
        line = None
        streams = None

        def pre_handler_hook(self):
            self.saved_sigint_handler = signal.signal(signal.SIGINT, self.line.on_interrupt)

        def start_on(self, line, streams):
            self.line, self.streams = line, streams
            self.shell.exit_now = False
            self.io_loop = IOLoop.current()
            self.shell_channel_thread = SimpleNamespace(parent_thread=threading.main_thread())
            self.requests = collections.deque()
            self.arrival = asyncio.Event()
            self.over = self.aborting = False

        @property
        def _supports_kernel_subshells(self):
            return False

        def take(self):
            """Take in what has arrived."""
            messages = self.line.arrived()
            if messages is None:
                os._exit(0)  # the keeper has heard it too
            for message in messages:
                kind = message["header"]["msg_type"]
                if kind == "abort_request":
                    self.aborting = True
                elif kind in ("comm_msg", "comm_close", "comm_open") and self.busy:
                    # A cell that awaits may be waiting for it.
                    self.comm(message)
                else:
                    self.requests.append(message)
            if messages:
                self.arrival.set()

        def comm(self, message):
            parent, ident = self.get_parent("shell"), []
            try:
                self.shell_handlers[message["header"]["msg_type"]](None, ident, message)
            finally:
                self.set_parent(ident, parent)

        busy = False

        async def serve(self):
            """Answer requests until the end is asked for."""
            asyncio.get_running_loop().add_reader(self.line.socket.fileno(), self.take)
            while not self.over:
                while not self.requests:
                    self.arrival.clear()
                    await self.arrival.wait()
                await asyncio.sleep(0)  # what cells left running gets its turn
                await self.answer(self.requests.popleft())

        async def answer(self, message):
            kind = message["header"]["msg_type"]
            if kind == "shutdown_request":
                self.over = True
                return
            self.set_parent([], message)
            self.pre_handler_hook()
            try:
                if kind == "execute_request":
                    self.take()  # an interrupt between two cells stops the second
                    if self.aborting:
                        self.session.send(None, "execute_reply", {"status": "aborted"}, message)
                        return
                self._publish_status("busy", "shell")
                self.busy = True
                result = self.shell_handlers[kind](None, [], message)
                if asyncio.iscoroutine(result) or asyncio.isfuture(result):
                    await result
            except KeyboardInterrupt:
                pass  # it came after the cell's end
            except Exception:
                traceback.print_exc()
            finally:
                self.busy = False
                self.post_handler_hook()
                self.streams.drain()
                self._publish_status("idle", "shell")
                if self.shell.exit_now:
                    self.over = True

        def _abort_queues(self, subshell_id=None):
            self.aborting = True

        async def do_execute(self, *args, **kwargs):
            try:
                return await super().do_execute(*args, **kwargs)
            finally:
                self.streams.drain()

    class LineApp(IPKernelApp):
        """ipykernel's application without its sockets."""

        kernel_class = LineKernel

        def build(self, argv, line, streams):
            """Build the shell, before the fork."""
            super(IPKernelApp, self).initialize(argv)
            self.init_pdb()
            self.session = LineSession(parent=self, key=b"a line needs no signature")
            self.session.line = line
            self.config.IPKernelApp.connection_file = self.connection_file = "line"
            sys.stdout, sys.stderr = Stream(streams, "stdout", 1), Stream(streams, "stderr", 2)
            from ipykernel.displayhook import ZMQDisplayHook

            self.iopub_socket = object()
            self.displayhook = sys.displayhook = ZMQDisplayHook(self.session, self.iopub_socket)
            self.patch_io()
            self.kernel = LineKernel.instance(
                parent=self, session=self.session, iopub_socket=self.iopub_socket, log=self.log,
                profile_dir=self.profile_dir, user_ns=self.user_ns,
            )  # fmt: skip
            self.kernel._execute_sleep = 0  # nothing has to reach another thread first
            self.displayhook.get_execution_count = lambda: self.kernel.execution_count
            self.kernel.line, self.kernel.streams = line, streams
            self.init_shell()
            # Only ipykernel's default extension, which is nothing but definitions; others are loaded after the fork.
            self.shell.extension_manager.load_extension("storemagic")

        def move_in(self):
            """Live in the home of the account that this process has become: the shell was built in the service's."""
            if site.ENABLE_USER_SITE:
                sys.path[:] = [path for path in sys.path if path != site.getusersitepackages()]
                site.USER_BASE = site.USER_SITE = None
                site.addusersitepackages(set())
            if self.profile_dir.location in self.config_file_paths:
                self.config_file_paths.remove(self.profile_dir.location)
            self.ipython_dir, self.profile_dir = get_ipython_dir(), None
            self.init_profile_dir()
            shell, kernel = self.shell, self.kernel
            shell.ipython_dir, shell.home_dir, shell._db = self.ipython_dir, os.environ["HOME"], None
            shell.profile_dir = kernel.profile_dir = self.profile_dir
            self.load_config_file()
            shell.update_config(self.config)
            try:
                read_matplotlibrc()
            except Exception:  # whatever is wrong with the file, the notebook may do without
                traceback.print_exc()

        def begin(self, ahead_of_cwd, *, rehearsal):
            """What belongs to one execution: the user's startup files, extensions and configured code."""
            # The variables that the shell set when it was built are not in the environment of the execution.
            self.shell.init_environment()
            self.init_path()
            if "" in sys.path:
                yield_to_files(ahead_of_cwd)
            self.init_gui_pylab()
            if not rehearsal:
                self.init_extensions()
                self.init_code()

    remembered = {}
    accepts = ipykernel.ipkernel._accepts_parameters

    def accepts_parameters(method, names):
        """ipykernel's, that asks each function once: it costs as much as a short cell."""
        key = (getattr(method, "__func__", method), tuple(names))
        if key not in remembered:
            remembered[key] = accepts(method, names)
        return remembered[key]

    setattr(ipykernel.ipkernel, "_accepts_parameters", accepts_parameters)  # noqa: B010 - its module has no such name to write to
    return LineApp


def read_matplotlibrc():
    """Have Matplotlib, if it was loaded ahead, read the settings of this process's home and working directory: what it
    has read so far are the service's."""
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is None:
        return
    for name in ("get_configdir", "get_cachedir"):
        # They remember what they have found.
        if (find := getattr(getattr(matplotlib, name), "__wrapped__", None)) is not None:
            setattr(matplotlib, name, functools.cache(find))
    file = matplotlib.matplotlib_fname()
    if not file.startswith(matplotlib.get_data_path()):
        matplotlib.rc_file(file)


class LineChild(Child):
    """A kernel whose shell was built before the fork."""

    app = None
    line = None
    streams = None
    launcher = ""

    @classmethod
    def prepare(cls, settings):
        without_debugger()
        cls.line = Line()
        app = line_classes().instance()

        def publish(name, text):
            parent = app.kernel.get_parent("shell") if app.kernel is not None else {}
            app.session.send(None, "stream", {"name": name, "text": text}, parent=parent)

        cls.streams = Streams(publish)
        app.build(["--HistoryManager.enabled=False", *settings.argv], cls.line, cls.streams)
        cls.app = app
        cls.launcher = launcher()
        # What the first cell would load and build otherwise.
        for name in ("matplotlib_inline.config", "ipykernel.comm", "IPython.core.logger", "tornado.platform.asyncio"):
            with suppress(ImportError):
                importlib.import_module(name)
        shell = app.shell
        for code in ("[1]", "await None"):
            shell.should_run_async(code, transformed_cell=shell.transform_cell(code))
        shell.display_formatter.format([1])

    @classmethod
    def rehearse(cls, settings):
        ours, theirs = socket.socketpair()
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                folder, errors = os.open("/", os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)
                private = enclosed({"env": dict(os.environ), "rehearsal": True})
                cls().run({"umask": 0o077}, [folder, errors, theirs.fileno(), tells, private], settings)
            except BaseException:  # as above
                traceback.print_exc()
            finally:
                os._exit(1)
        theirs.close()
        os.close(tells)
        cells = [{"code": code, "silent": False, "store_history": True} for code in ("a = 1", "print(a)\na")]
        requests = [("execute_request", cell) for cell in cells]
        until = time.monotonic() + REHEARSAL_SECONDS
        with ours, suppress(OSError):
            for kind, content in (*requests, ("kernel_info_request", {}), ("shutdown_request", {})):
                message = {"header": {"msg_id": kind, "msg_type": kind}, "content": content, "metadata": {}}
                ours.sendall(json.dumps(message).encode() + b"\n")
            while (left := until - time.monotonic()) > 0:
                ours.settimeout(left)
                if not ours.recv(2**16):
                    break
        # One that has not ended, or told no pages, is no harm: kernels get theirs when they write to them.
        _kill(pid, signal.SIGKILL)
        with os.fdopen(told) as file, suppress(ValueError):
            cls.pages = json.load(file)
        os.waitpid(pid, 0)

    def work(self, request, fds, settings):
        app, line, streams = self.app, self.line, self.streams
        sys.argv = [self.launcher, *settings.argv]
        os.environ.setdefault("JPY_PARENT_PID", str(os.getppid()))  # by this, some tell a notebook from a script
        line.open(socket.socket(fileno=fds[0]))
        app.session.pid = os.getpid()
        app.session.session = os.urandom(16).hex()
        if "__mp_main__" in sys.modules:
            sys.modules["__mp_main__"] = sys.modules["__main__"]
        streams.open()
        rehearsal = request.get("rehearsal", False)
        if "account" in request:
            app.move_in()
        asyncio.run(self.serve(app, line, streams, settings, rehearsal=rehearsal))
        if rehearsal:
            pages = own_pages()
            with os.fdopen(fds[1], "w") as file:
                json.dump(pages, file)
            os._exit(0)
        threading._shutdown()  # as the interpreter's own end: threads that are not daemons are waited for
        atexit._run_exitfuncs()
        streams.drain()
        os._exit(0)

    async def serve(self, app, line, streams, settings, *, rehearsal):
        kernel = app.kernel
        kernel.start_on(line, streams)
        kernel.set_parent([], {"header": {}})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        app.begin(settings.ahead_of_cwd, rehearsal=rehearsal)
        streams.drain()
        await kernel.serve()


def without_debugger():
    """Forked kernels on a line have no debugger: loading it takes longer than most notebooks."""
    present = sys.modules.get("debugpy")
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    try:
        import ipykernel.debugger
        import ipykernel.ipkernel

        for module in (ipykernel.debugger, ipykernel.ipkernel):
            if hasattr(module, "_is_debugpy_available"):
                module._is_debugpy_available = False  # type: ignore[attr-defined]
    finally:
        if present is None:
            del sys.modules["debugpy"]
        else:
            sys.modules["debugpy"] = present


def main():
    """Serve the owner at the other end of the socket."""
    # Python put the folder of this file where a kernel has its working directory.
    with suppress(ValueError):
        sys.path.remove(os.path.dirname(os.path.abspath(__file__)))
    settings = Settings(json.loads(sys.argv[2]))
    sys.path[:0] = settings.path
    owner = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(owner.fileno(), False)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is for the owner
    try:
        if settings.mode != "call":
            import ipykernel.ipkernel
            import ipykernel.kernelapp
            import ipykernel.zmqshell  # noqa: F401

            # Matplotlib reads it when it is loaded, which may be before the kernel's application says it.
            if not os.environ.get("MPLBACKEND"):
                os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
        server = Server(owner, settings)
        server.serve()
    except Exception as error:
        traceback.print_exc()
        with suppress(OSError):
            send(owner, {"failed": f"{type(error).__name__}: {str(error)[:500]}"})
    os._exit(0)


if __name__ == "__main__":
    main()
