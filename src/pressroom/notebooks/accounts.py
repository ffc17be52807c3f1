"""The accounts of this machine that notebooks run as, where they run as their users."""

import os
import pwd

from pressroom.errors import Invalid, NotAllowed, shown
from pressroom.press.account import Account, usual_umask, why_not

FIRST_UID = 1000
"""Below it are accounts of the system."""
NOBODY = 65534


def account_named(username: str) -> Account:
    """The account of a user. Raises :class:`NotAllowed` where there is none, or none that notebooks may run as."""
    try:
        entry = pwd.getpwnam(username)
    except (KeyError, ValueError, UnicodeEncodeError):
        raise _refused(username, "has no account on this machine") from None
    if entry.pw_name != username:
        raise _refused(username, f"is another name of the account {shown(entry.pw_name)}")
    if entry.pw_uid < FIRST_UID or entry.pw_uid == NOBODY:
        raise _refused(username, f"is an account of the system (uid {entry.pw_uid})")
    groups = tuple(os.getgrouplist(username, entry.pw_gid))
    shell = entry.pw_shell or "/bin/sh"
    return Account(username, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir or "/", shell, usual_umask())


def require_accounts() -> None:
    """Raise :class:`Invalid` where this process cannot act as the accounts of users."""
    if (why := why_not()) is not None:
        raise Invalid(f"PRESSROOM_RUN_AS=user lets notebooks run as their users, which needs root: {why}.")


def _refused(username: str, why: str) -> NotAllowed:
    return NotAllowed(f"{shown(username)} {why}, and notebooks run as their users here (PRESSROOM_RUN_AS=user).")
