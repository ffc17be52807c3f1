"""Where a user may read and write: the user's directory and the shared roots.

A path is judged twice. :meth:`Places.locate` resolves links and ``..`` and finds the root that holds the result;
opening a :class:`Location` then walks from that root's directory to the file, one component at a time, following no
link and leaving no mount, so that a folder which is swapped for a link in between leads nowhere.

Where notebooks run as their users, both are done with the rights of the user's account and no others, and so is what is
done in a folder by :meth:`Location.in_directory`. All that has an account blocks, and is called in a thread.
"""

import errno
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from pressroom.errors import Invalid, NotAllowed, NotebookInvalid, NotFound, PathNotAllowed
from pressroom.notebooks.accounts import account_named, require_accounts
from pressroom.notebooks.mounts import mount_of
from pressroom.press.account import Account
from pressroom.settings import USER, Settings

MAX_PATH = 512
"""The longest path that the database keeps, in characters."""


@dataclass(frozen=True, slots=True)
class Location:
    """A path inside a root. ``path`` is absolute and has no link in it. ``account``: whose rights count there, where
    they are not the service's own."""

    root: Path
    path: Path
    one_mount: bool
    account: Account | None = None

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.name

    @property
    def parent(self) -> "Location":
        """The folder that holds it."""
        return replace(self, path=self.path.parent)

    def beside(self, *names: str) -> "Location":
        """Another place in the same folder."""
        return replace(self, path=self.path.parent.joinpath(*names))

    def as_account(self) -> AbstractContextManager[None]:
        """What is done with files until the end is done with the rights that count here."""
        return _as(self.account)

    @contextmanager
    def in_directory(self) -> Iterator[int]:
        """As :meth:`open_directory`, for what is done in this folder until the end, with the rights that count here."""
        with self.as_account(), self.open_directory() as fd:
            yield fd

    @contextmanager
    def open_directory(self, *, create_last: bool = False) -> Iterator[int]:
        """A file descriptor of this folder, to hand on; ``create_last`` makes it where only its last component is
        missing.

        Raises :class:`NotFound`, :class:`NotAllowed` or :class:`PathNotAllowed`.
        """
        with self.as_account():
            fd = self._walk(self.path.relative_to(self.root).parts, create_last=create_last)
        try:
            yield fd
        finally:
            os.close(fd)

    @property
    def who(self) -> str:
        """Whose rights count here, in words."""
        return self.account.name if self.account is not None else "the service"

    @contextmanager
    def open_file(self) -> Iterator[int]:
        """A file descriptor of this regular file, open for reading.

        Raises :class:`NotFound`, :class:`NotAllowed`, :class:`NotebookInvalid` or :class:`PathNotAllowed`.
        """
        with self.parent.open_directory() as directory, self.open_file_in(directory) as fd:
            yield fd

    @contextmanager
    def open_file_in(self, directory: int) -> Iterator[int]:
        """As :meth:`open_file`, where its parent's :meth:`open_directory` is open already."""
        with self.as_account(), self._explained():
            # O_NONBLOCK: a named pipe must not hold up whoever opens it.
            fd = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise NotebookInvalid(str(self.path), "is not a file")
            self._require_mount(mount_of(directory) if self.one_mount else None, fd)
            yield fd
        finally:
            os.close(fd)

    def read(self, limit_bytes: int) -> bytes:
        """The whole file. Raises as :meth:`open_file`, and :class:`NotebookInvalid` over ``limit_bytes``."""
        with self.open_file() as fd, os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise NotebookInvalid(str(self.path), f"is larger than {limit_bytes / 2**20:g} MiB, the limit")
        return data

    def _walk(self, parts: tuple[str, ...], *, create_last: bool) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._explained(folder=True):
            fd = os.open(self.root, flags & ~os.O_NOFOLLOW)
        try:
            mount = mount_of(fd) if self.one_mount else None
        except BaseException:
            os.close(fd)
            raise
        made = False
        for depth, part in enumerate(parts, start=1):
            try:
                with self._explained(folder=True):
                    made = create_last and depth == len(parts) and make_directory(part, fd, self.account)
                    inner = os.open(part, flags, dir_fd=fd)
            finally:
                os.close(fd)
            fd = inner
        try:
            if made and self.account is not None:
                os.fchmod(fd, 0o777 & ~self.account.umask)
            self._require_mount(mount, fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _require_mount(self, mount: str | None, fd: int) -> None:
        if mount is not None and mount_of(fd) != mount:
            raise PathNotAllowed(
                str(self.path),
                f"lies on another file system, mounted inside {self.root}; an administrator can name its mount "
                "point in PRESSROOM_SHARED_ROOTS",
            )

    @contextmanager
    def _explained(self, *, folder: bool = False) -> Iterator[None]:
        """Turn the system's errors into ours."""
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound("folder" if folder else "file", self.path) from error
        except PermissionError as error:
            raise NotAllowed(f"{self.path} may not be opened by {self.who}: {error.strerror}.") from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EMLINK) or (folder and error.errno == errno.ENOTDIR):
                raise PathNotAllowed(str(self.path), "changed while it was opened, or is not a folder") from error
            raise NotebookInvalid(str(self.path), f"cannot be opened: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Places:
    """Where each user may read and write.

    ``users_root`` holds a directory a user, named as the user; ``shared_roots`` are everybody's. ``everywhere`` lifts
    the rule, for a command that a person runs in their own shell, with their own rights. ``as_users``: what a user's
    place is used for is done as the user's account.
    """

    users_root: Path
    shared_roots: tuple[Path, ...] = ()
    everywhere: bool = False
    as_users: bool = False

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        """Those of a service. Raises :class:`Invalid` where users' accounts are to be used and cannot be."""
        as_users = settings.run_as == USER
        if as_users:
            require_accounts()
        return cls(settings.users_root, tuple(settings.shared_roots), as_users=as_users)

    def home(self, username: str) -> Path:
        """The user's directory, links resolved; it need not exist. Raises :class:`Invalid` for an impossible name."""
        plain = unicodedata.normalize("NFKC", username)
        if plain != username or plain in ("", ".", "..") or "/" in plain or "\0" in plain:
            raise Invalid(f"{username!r} cannot be the name of a user.")
        return Path(os.path.realpath(self.users_root / username))

    def account(self, username: str) -> Account | None:
        """The account whose rights count for a user, where they are not the service's own. Raises
        :class:`NotAllowed`."""
        return account_named(username) if self.as_users else None

    def directory(self, username: str) -> Location:
        """A user's directory. Raises as :meth:`home` and :meth:`account`."""
        home = self.home(username)
        return Location(home, home, one_mount=True, account=self.account(username))

    def resolved(self, text: str, by: str) -> Path:
        """A path without links and ``..``, as far as ``by`` may look; one without an account does not look at all."""
        path = _plausible(text)
        try:
            account = self.account(by)
        except NotAllowed:
            return Path(os.path.normpath(path))
        with _as(account):
            return _resolved(path)

    def owner_of(self, text: str, by: str) -> str | None:
        """The user whose directory holds a path, or ``None``, as far as ``by`` may look."""
        path = self.resolved(text, by)
        for root in (self.users_root, Path(os.path.realpath(self.users_root))):
            if path.is_relative_to(root) and len(path.relative_to(root).parts) > 1:
                return path.relative_to(root).parts[0]
        return None

    def locate(self, text: str, username: str, *, suffix: str = ".ipynb") -> Location:
        """The place of a path that ``username`` uses; a relative one starts at the user's directory.

        Raises :class:`Invalid` for what cannot be a path or has another ending than ``suffix``,
        :class:`PathNotAllowed` for one that leads outside the user's directory and the shared roots, or to another
        ending, and :class:`NotAllowed` where the user's account is to be used and cannot be.
        """
        home, account = self.home(username), self.account(username)
        given = _plausible(text)
        if not text.endswith(suffix):
            raise Invalid(f"{given} is not the path of a notebook: it does not end in {suffix}.", path=str(given))
        with _as(account):
            path = _resolved(home / given)
        if len(str(path)) > MAX_PATH:
            raise Invalid(f"The path is longer than {MAX_PATH} characters.")
        roots = [home, *(Path(os.path.realpath(root)) for root in self.shared_roots)]
        holding = [root for root in roots if path.is_relative_to(root) and path != root]
        if not holding and not self.everywhere:
            raise PathNotAllowed(
                str(given), f"lies outside the directory of {username} ({home}) and the shared folders"
            )
        if not path.name.endswith(suffix):
            raise PathNotAllowed(str(given), f"is a link to what is no notebook: it does not end in {suffix}")
        if holding:
            return Location(max(holding, key=lambda root: len(root.parts)), path, one_mount=True, account=account)
        return Location(Path("/"), path, one_mount=False, account=account)

    def stored(self, path: str, username: str) -> Location:
        """The place of a path that :meth:`locate` once found, and the database has kept since.

        Who asks for it may be another than whose place it is, and a folder on its way may be others' to change: so it
        is refused with :class:`PathNotAllowed` where it leads elsewhere now. Raises as :meth:`locate` besides.
        """
        place = self.locate(path, username)
        if str(place.path) != path:
            raise PathNotAllowed(path, "is a link now, or a folder on its way is one, and did not use to be")
        return place


def _as(account: Account | None) -> AbstractContextManager[None]:
    return account.files() if account is not None else nullcontext()


def _resolved(path: Path) -> Path:
    """A path without links and ``..``, as far as the service may look."""
    try:
        resolved = Path(os.path.realpath(path))
        leads_nowhere = resolved.is_symlink()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Invalid("A name in the path is longer than the file system allows.") from error
        raise PathNotAllowed(str(path), f"leads where the service may not look: {error.strerror}") from error
    if leads_nowhere:
        raise PathNotAllowed(str(path), "is a link that leads nowhere")
    return resolved


def _plausible(text: str) -> Path:
    if not text or "\0" in text:
        raise Invalid("A path must have at least one character and no NUL.")
    if len(text) > MAX_PATH:
        raise Invalid(f"The path is longer than {MAX_PATH} characters.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("The path holds characters that no file name can have.") from error
    if "\\" in text:
        raise Invalid("A path is parted by '/', and no name in it may hold a '\\'.")
    for part in text.split("/"):
        plain = unicodedata.normalize("NFKC", part)
        if plain != part and ("/" in plain or "\\" in plain or plain in (".", "..")):
            raise Invalid(f"The path holds a look-alike of '/' or '..': {part!r}.")
    return Path(text)


def make_directory(name: str, parent: int, account: Account | None) -> bool:
    """Make a folder in an open one, as whoever's rights count; whether it was not there before. Where that is an
    account, its umask is still to be applied. Raises ``OSError``."""
    try:
        os.mkdir(name, 0o777, dir_fd=parent)
    except FileExistsError:
        return False
    if os.geteuid() == 0 and account is None:
        owner = os.fstat(parent)
        os.chown(name, owner.st_uid, owner.st_gid, dir_fd=parent, follow_symlinks=False)
    return True
