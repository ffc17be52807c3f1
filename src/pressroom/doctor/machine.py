"""The machine: kernels, the users' folders, room on its disks. All of it blocks."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from pressroom.doctor.case import Case
from pressroom.doctor.findings import Finding, ok, warning, wrong
from pressroom.errors import NotAllowed, shown
from pressroom.executions.kernels import USUAL
from pressroom.notebooks.accounts import account_named
from pressroom.press.account import why_not
from pressroom.press.environment import kernel_environment
from pressroom.press.launch import CannotFork, Launch
from pressroom.press.servers import Servers
from pressroom.settings import MEBIBYTE, USER, Settings

LITTLE_MB, LEAST_MB = 2048, 256
"""Free space below which it is said, and below which outputs may not find room, in MiB."""
FEW_INODES = 1000
OUTPUTS = "outputs"
MOST_FOLDERS = 2000
"""Folders of users that are looked at."""


def kernels(case: Case) -> list[Finding]:
    """Which kernels there are, and whether a fork server can start each. Starts the servers, and ends them."""
    manager, servers, found = KernelSpecManager(), Servers(), list[Finding]()
    names = sorted(manager.find_kernel_specs())
    environment = kernel_environment(os.environ, case.settings.kernel_environment)
    try:
        for name in names:
            try:
                # Specs hold keys that jupyter_client does not know; traitlets warns of each.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    spec = manager.get_kernel_spec(name)
                launch = Launch.of(name, spec, environment)
            except (ValueError, KeyError, TypeError, OSError) as error:
                says = f"the spec {name} cannot be read: {shown(str(error))}"
                found.append(wrong("kernels", says, f"jupyter kernelspec remove {name}"))
            else:
                found.append(_kernel(launch, servers))
    finally:
        servers.close()
    if not names:
        return [wrong("kernels", "no kernel is installed", "pip install ipykernel")]
    if USUAL not in names:
        says = f"none is called {USUAL}, which executes the notebooks that name none"
        found.append(warning("kernels", says, "pip install ipykernel"))
    return found


def _kernel(launch: Launch, servers: Servers) -> Finding:
    part, name = "kernels", launch.name
    program = str(launch.argv[0]) if launch.argv else ""
    if shutil.which(program, path=launch.environment.get("PATH")) is None:
        return wrong(part, f"{name} is started by {program}, which is not there", f"jupyter kernelspec remove {name}")
    try:
        launch.interpreter()
    except CannotFork as error:  # another language, or another launcher, which is as it should be
        return ok(part, f"{name} is started by the stock launcher: {error}")
    try:
        servers.kernels(launch)
    except CannotFork as error:
        return wrong(part, f"{name} cannot be forked: {error}", f"{program} -m pip install --upgrade ipykernel")
    return ok(part, f"{name} is forked")


def folders(case: Case) -> list[Finding]:
    """Whether the users' folders and the shared ones are there, and this process can do there what it has to."""
    settings, found = case.settings, list[Finding]()
    found.append(_root("users root", settings.users_root, "PRESSROOM_USERS_ROOT"))
    if found[0].state == "ok":
        found += _users(settings)
    found += [_root("shared root", root, "PRESSROOM_SHARED_ROOTS", write=True) for root in settings.shared_roots]
    if settings.run_as == USER:
        if (why := why_not()) is not None:
            mend = "run as root: systemctl edit pressroom, User=root; or PRESSROOM_RUN_AS=service"
            found.append(wrong("accounts", f"PRESSROOM_RUN_AS=user lets notebooks run as their users, but {why}", mend))
        else:
            found.append(ok("accounts", "this process can act as the accounts of users"))
    return found


def disk(case: Case) -> list[Finding]:
    """Whether there is room where outputs, temporary files and the embedded database lie; once for each file system."""
    settings = case.settings
    wanted = max(LEAST_MB, int(settings.max_output_mb))
    seen: dict[int, tuple[Path, list[str]]] = {}
    for what, path in _written(settings):
        there = next((folder for folder in (path, *path.parents) if folder.exists()), None)
        if there is not None:
            seen.setdefault(there.stat().st_dev, (there, []))[1].append(what)
    return [_room(path, " and ".join(dict.fromkeys(what)), wanted) for path, what in seen.values()]


def _room(path: Path, what: str, wanted_mb: int) -> Finding:
    part = "disk"
    usage, inodes = shutil.disk_usage(path), os.statvfs(path)
    free = usage.free // MEBIBYTE
    says = f"{free / 1024:,.1f} GiB free of {usage.total / 2**30:,.1f} in {path}, for {what}"
    # Pruning removes outputs, and needs a database that runs: it gives no room to that, nor to temporary files.
    largest = f"du -xh --max-depth 2 {path} | sort -h | tail"
    mend = (
        f"pressroom prune --older-than 90d; {largest}"
        if OUTPUTS in what
        else f"{largest}; remove some of it, or a larger disk"
    )
    if free < wanted_mb:
        return wrong(part, says, mend)
    if inodes.f_files and inodes.f_favail < FEW_INODES:
        return wrong(part, f"{inodes.f_favail} more files can be made in {path}, for {what}", mend)
    return warning(part, says, mend) if free < LITTLE_MB else ok(part, says)


def _written(settings: Settings) -> Iterator[tuple[str, Path]]:
    yield OUTPUTS, settings.users_root
    for root in settings.shared_roots:
        yield OUTPUTS, root
    yield "temporary files", Path(tempfile.gettempdir())
    if settings.database_url is None:
        yield "the embedded database", settings.data_dir


def _root(part: str, path: Path, setting: str, *, write: bool = False) -> Finding:
    mend = f"mkdir {path}, or another {setting}"
    if not path.exists():
        return wrong(part, f"{path} is not there", mend)
    if not path.is_dir():
        return wrong(part, f"{path} is no folder", mend)
    if not os.access(path, os.R_OK | os.X_OK):
        return wrong(part, f"{path} cannot be read by this process ({_who()})", f"chmod o+rx {path}")
    if write and not os.access(path, os.W_OK):
        return warning(part, f"{path} can be read, and no output written there by this process ({_who()})", mend)
    return ok(part, f"{path} is there")


def _users(settings: Settings) -> Iterator[Finding]:
    """What users would meet: a folder without an account, or one that the service cannot write to."""
    root, hampered = settings.users_root, list[str]()
    with os.scandir(root) as entries:
        folders = [entry for entry in islice(entries, MOST_FOLDERS) if entry.is_dir() and entry.name != "lost+found"]
        for entry in folders:
            if settings.run_as == USER:
                try:
                    account_named(entry.name)
                except NotAllowed:
                    hampered.append(entry.name)
            elif not os.access(entry.path, os.R_OK | os.W_OK | os.X_OK):
                hampered.append(entry.name)
    if hampered:
        some = ", ".join(shown(name) for name in sorted(hampered)[:5]) + (", ..." if len(hampered) > 5 else "")
        if settings.run_as == USER:
            says, mend = "have no account that notebooks may run as", "useradd for each, or leave them as they are"
        else:
            says, mend = f"cannot be read and written by this process ({_who()})", "PRESSROOM_RUN_AS=user, as root"
        yield warning("users root", f"{len(hampered)} of {len(folders)} folders in {root} {says}: {some}", mend)


def _who() -> str:
    return f"uid {os.geteuid()}"
