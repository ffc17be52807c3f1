"""The values of secret parameters while they are kept: encrypted by the keys of ``PRESSROOM_SECRET_KEY``.

A ciphertext (Fernet: AES-128 in CBC mode, with an HMAC-SHA256) holds the values and names the execution that they are
for: its id, its user and its notebook's file. Put into another row, or with another file in its row, it is not opened.
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import JsonValue

from pressroom.errors import ParameterInvalid, RuleInvalid, SecretUnreadable
from pressroom.settings import Settings

Purpose = tuple[int, str, str]
"""What secrets are for: an execution's id, its user, and the path of its notebook; of a schedule, its id, its user, and
which notebook's it is."""
_DIGEST = b"pressroom idempotency\0"


class SecretKeys:
    """The keys of a service: the first encrypts, any of them decrypts. There may be none."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    @classmethod
    def of(cls, settings: Settings) -> "SecretKeys":
        """The keys that the settings name."""
        return cls(settings.secret_keys)

    def require_for_definition(self, name: str) -> None:
        """Raise :class:`RuleInvalid` where a parameter cannot be secret, since there is no key."""
        if not self._keys:
            raise RuleInvalid(name, "secret", f"needs a key to encrypt values with: {_SET_ONE}")

    def sealed(self, values: Mapping[str, JsonValue], purpose: Purpose) -> str:
        """The ciphertext of values. Raises :class:`ParameterInvalid` without a key."""
        if not self._keys:
            why = f"is a secret, and this service has no key to encrypt it with: {_SET_ONE}"
            raise ParameterInvalid.of([ParameterInvalid(name, "secret", why) for name in values])
        text = json.dumps({"for": purpose, "values": dict(values)})
        return self._fernet.encrypt(text.encode()).decode()

    def opened(self, sealed: str, purpose: Purpose, of: str = "execution") -> dict[str, JsonValue]:
        """The values in a ciphertext. Raises :class:`SecretUnreadable` where it was encrypted with no key of these, was
        changed, or is for another execution, or whatever else the id is ``of``."""
        number, username, path = purpose
        if not self._keys:
            raise SecretUnreadable(number, f"there is no key: {_SET_ONE}", of)
        try:
            said: dict[str, Any] = json.loads(self._fernet.decrypt(sealed))
        except (InvalidToken, ValueError):  # the latter where a character is not ASCII
            raise SecretUnreadable(
                number,
                "no key of PRESSROOM_SECRET_KEY decrypts them: it is another one here, or they were changed",
                of,
            ) from None
        if said["for"] != [number, username, path]:
            raise SecretUnreadable(number, f"they were encrypted for another {of}", of)
        return said["values"]

    def opens(self, sealed: str) -> bool:
        """Whether one of the keys decrypts a ciphertext, whatever it is for."""
        try:
            self._fernet.decrypt(sealed)
        except (InvalidToken, ValueError):
            return False
        return True

    def digests(self, text: bytes) -> list[str]:
        """What tells a text from others, by each key: it can hold secrets, which a digest without a key would give away
        to whoever tries all that they may be."""
        return [hmac.digest(key, _DIGEST + text, "sha256").hex() for key in self._keys]

    @cached_property
    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self._keys])


_SET_ONE = "set PRESSROOM_SECRET_KEY, the same for each process of the service; `pressroom secrets new-key` makes one"


def new_key() -> str:
    """A new key."""
    return Fernet.generate_key().decode()
