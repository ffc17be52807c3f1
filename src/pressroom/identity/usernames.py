"""The names that other systems give people, and whether they can be names of users here."""

import unicodedata

from pydantic import TypeAdapter, ValidationError

from pressroom.wire import Username

_USERNAME: TypeAdapter[str] = TypeAdapter(Username)


SERVICE_PREFIX = "service-"
"""What stands before the name of a service of JupyterHub, whose token is nobody's."""
_KEYCLOAKS = "service-account-"
"""What Keycloak puts before the name of a client that signs in for itself."""


def is_one_beside_a_hub(username: str) -> bool:
    """Whether the name that an issuer gives is the same person's at a Hub, which writes names in small letters, and no
    service's of the Hub."""
    of_service = username.startswith(SERVICE_PREFIX) and not username.startswith(_KEYCLOAKS)
    return username == username.lower() and not of_service


def service_name_of(name: str) -> str | None:
    """The user that a service of the Hub is; ``None`` where it would be a client of Keycloak's, or no user."""
    username = username_of(SERVICE_PREFIX + name)
    return None if username is None or username.startswith(_KEYCLOAKS) else username


def username_of(value: object) -> str | None:
    """``value`` where it can be the name of a user, the same name by whichever door; else ``None``."""
    try:
        username = _USERNAME.validate_python(value, strict=True)
    except ValidationError:
        return None
    return username if unicodedata.normalize("NFKC", username) == username else None
