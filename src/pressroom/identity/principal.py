"""Who is calling."""

from dataclasses import dataclass

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity was checked.

    ``source`` says by what: ``local``. A principal with the role ``admin`` may act for everybody.
    """

    username: str
    groups: frozenset[str]
    roles: frozenset[str]
    scopes: frozenset[str]
    source: str

    @classmethod
    def local(cls, username: str) -> "Principal":
        """The one user of ``PRESSROOM_AUTH=local``, who has every right."""
        return cls(username, frozenset(), frozenset({ADMIN}), frozenset(), "local")
