"""What an examination found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pressroom.database.url import HIDDEN


class State(StrEnum):
    """How a part is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part is, in a sentence. ``mend``: the command, or the change, that makes it well."""

    part: str
    state: State
    says: str
    mend: str | None = None

    def without(self, secrets: Sequence[str]) -> "Finding":
        """The same, should one of ``secrets`` ever stand in it, with that hidden."""
        says, mend = self.says, self.mend
        for secret in secrets:
            says = says.replace(secret, HIDDEN)
            mend = mend.replace(secret, HIDDEN) if mend is not None else None
        return replace(self, says=says, mend=mend)


def ok(part: str, says: str) -> Finding:
    """A part that is well."""
    return Finding(part, State.OK, says)


def warning(part: str, says: str, mend: str | None = None) -> Finding:
    """A part that works, and may not for long, or not for everybody."""
    return Finding(part, State.WARNING, says, mend)


def wrong(part: str, says: str, mend: str | None = None) -> Finding:
    """A part that does not work."""
    return Finding(part, State.WRONG, says, mend)
