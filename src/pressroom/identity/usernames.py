"""The names that other systems give people, and whether they can be names of users here."""

import unicodedata

from pydantic import TypeAdapter, ValidationError

from pressroom.wire import Username

_USERNAME: TypeAdapter[str] = TypeAdapter(Username)


def username_of(value: object) -> str | None:
    """``value`` where it can be the name of a user, the same name by whichever door; else ``None``."""
    try:
        username = _USERNAME.validate_python(value, strict=True)
    except ValidationError:
        return None
    return username if unicodedata.normalize("NFKC", username) == username else None
